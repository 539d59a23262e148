#!/usr/bin/env bash
# A real Apache Kafka for tests: in KRaft mode, on the loopback interface, without Docker.
#
#   scripts/kafka.sh start [KIND]       starts it, waits until it serves, prints its addresses
#   scripts/kafka.sh stop               ends it and removes its data
#   scripts/kafka.sh run [KIND]         runs it until Ctrl-C
#   scripts/kafka.sh pause [NODE]       stops a node's process (SIGSTOP), the first one's by default
#   scripts/kafka.sh resume [NODE]      lets it go on (SIGCONT)
#   scripts/kafka.sh kill [NODE]        ends it at once (SIGKILL) and keeps its data
#   scripts/kafka.sh restart [NODE]     starts it again with its data, after ending it at once if it still runs
#   scripts/kafka.sh tool CLASS ARG…    runs one of Kafka's tools: kafka.admin.ConfigCommand,
#                                       org.apache.kafka.tools.{TopicCommand,AclCommand,…}
#
# Kinds:
#   plain     one node, which creates topics by itself. The default
#   secure    one node that grants the user `miffy` nothing but to write to topics whose names begin with
#             `miffy`, over SASL (PLAIN, SCRAM), TLS with client certificates, and SASL over TLS. Whoever comes
#             over the port without security may do anything. `env` has the addresses and passwords, `tls/` the
#             certificates
#   cluster   three nodes; a record is on three, and two have to have it (min.insync.replicas)
#
# Needs a JDK or JRE 17 and Maven, which gets the server's jars once; `secure` needs openssl, too.
#
#   KAFKA_TEST_HOME   where the instance is, .kafka/plain by default: several can run at a time
#   KAFKA_TEST_PORT   the first of its ports, 9192 by default. Each node takes two of them, the second for its
#                     controller; `secure` takes three more
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
lib=$root/.kafka/lib
home=$(realpath -m "${KAFKA_TEST_HOME:-$root/.kafka/plain}")
port=${KAFKA_TEST_PORT:-9192}

fail() {
  echo "kafka.sh: $*" >&2
  exit 1
}

# Gets the jars, unless they are those of this pom already.
resolve() {
  local pom=$root/scripts/kafka/pom.xml resolved=$root/.kafka/resolved.xml
  cmp -s "$pom" "$resolved" && return
  command -v mvn >/dev/null || fail "mvn is not installed"
  rm -rf "${lib:?}" "$resolved"
  mkdir -p "$lib"
  mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$lib" >&2 ||
    fail "Maven could not get the server's jars"
  cp "$pom" "$resolved"
}

# Runs a class of the server's, in place of the calling shell.
java_() {
  exec java -Xms128m -Xmx384m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$lib/*" "$@"
}

# Runs one of Kafka's tools, in place of the calling shell.
tool() {
  exec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$lib/*" "$@"
}

# The nodes that this instance has, or is to have.
nodes() {
  case $(cat "$home/kind") in
    cluster) echo 1 2 3 ;;
    *) echo 1 ;;
  esac
}

port_of() {
  echo $((port + 2 * ($1 - 1)))
}

# A certificate of a name, signed by the authority, and its key.
certificate() {
  local name=$1 subject=$2
  openssl req -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.csr" -subj "/CN=$subject"
  openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out "$name.pem" \
    -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1")
}

# Two authorities of which nobody knows the second, and certificates of the first one's.
make_certificates() (
  mkdir -p "$home/tls"
  cd "$home/tls"
  for authority in ca unknown-ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$authority.key" -out "$authority.pem" -days 30 -subj "/CN=$authority"
  done
  certificate server localhost
  certificate client miffy
  openssl pkcs8 -topk8 -v2 aes-256-cbc -in client.key -out client-encrypted.key -passout "pass:$1"
  # Kafka wants both in one file.
  cat server.key server.pem >server-both.pem
)

# Writes what tests have to know. The passwords are new ones each time, so that they can be searched for.
write_env() {
  local password key_password
  password=$(openssl rand -hex 16)
  key_password=$(openssl rand -hex 16)
  cat >"$home/env" <<ENV
plain=127.0.0.1:$port
sasl=127.0.0.1:$((port + 2))
tls=127.0.0.1:$((port + 3))
sasl_tls=127.0.0.1:$((port + 4))
user=miffy
password=$password
key_password=$key_password
ENV
  make_certificates "$key_password" >"$home/openssl.log" 2>&1 || fail "openssl failed; see $home/openssl.log"
}

# The value of a name in env.
env_() {
  sed -n "s/^$1=//p" "$home/env"
}

# What all nodes have in common.
common_properties() {
  local node=$1 kind=$2 here voters=() voter listeners=
  here=$(port_of "$node")
  for voter in $(nodes); do voters+=("$voter@127.0.0.1:$(($(port_of "$voter") + 1))"); done
  if [ "$kind" = secure ]; then
    listeners=",SASL://$(env_ sasl),TLS://$(env_ tls),SASL_TLS://$(env_ sasl_tls)"
  fi
  cat <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$(IFS=,; echo "${voters[*]}")
listeners=PLAINTEXT://127.0.0.1:$here,CONTROLLER://127.0.0.1:$((here + 1))$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$here$listeners
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASL_TLS:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/$node/data
num.partitions=4
group.initial.rebalance.delay.ms=0
PROPERTIES
}

plain_properties() {
  cat <<PROPERTIES
auto.create.topics.enable=true
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
PROPERTIES
}

cluster_properties() {
  cat <<PROPERTIES
auto.create.topics.enable=true
default.replication.factor=3
min.insync.replicas=2
PROPERTIES
}

secure_properties() {
  local modules=org.apache.kafka.common.security listener
  sed 's/=true/=false/' <(plain_properties)
  cat <<PROPERTIES
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location=$home/tls/server-both.pem
ssl.truststore.type=PEM
ssl.truststore.location=$home/tls/ca.pem
listener.name.tls.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=(.*)\$/\$1/
PROPERTIES
  for listener in sasl sasl_tls; do
    cat <<PROPERTIES
listener.name.$listener.plain.sasl.jaas.config=$modules.plain.PlainLoginModule required user_$(env_ user)="$(env_ password)";
listener.name.$listener.scram-sha-256.sasl.jaas.config=$modules.scram.ScramLoginModule required;
listener.name.$listener.scram-sha-512.sasl.jaas.config=$modules.scram.ScramLoginModule required;
PROPERTIES
  done
}

# Writes the configuration of every node and formats empty data directories.
prepare() {
  local kind=$1 id node options=() mechanism
  mkdir -p "$home"
  rm -rf "${home:?}"/[1-3] "$home/tls" "$home/env"
  echo "$kind" >"$home/kind"
  if [ "$kind" = secure ]; then
    command -v openssl >/dev/null || fail "openssl is not installed"
    write_env
    for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
      options+=(--add-scram "$mechanism=[name=$(env_ user),password=$(env_ password)]")
    done
  fi
  id=$(java_ kafka.tools.StorageTool random-uuid 2>/dev/null) || fail "java does not run"
  for node in $(nodes); do
    mkdir -p "$home/$node/data"
    { common_properties "$node" "$kind" && "${kind}_properties"; } >"$home/$node/server.properties"
    (java_ kafka.tools.StorageTool format -t "$id" -c "$home/$node/server.properties" "${options[@]}") >"$home/$node/server.log" 2>&1 ||
      fail "the data directory could not be formatted; see $home/$node/server.log"
  done
}

# Whether a node's process is there and still this Kafka: its number may have become another's after a reboot.
is_running() {
  grep -qsF "$home/$1/server.properties" "/proc/$(cat "$home/$1/pid" 2>/dev/null)/cmdline"
}

signal() {
  is_running "$2" || fail "node $2 does not run"
  kill -s "$1" "$(cat "$home/$2/pid")"
}

start_node() {
  local log=$home/$1/server.log
  # What the node says of its start has to be of this start.
  mv -f "$log" "$log.before"
  (java_ kafka.Kafka "$home/$1/server.properties") >"$log" 2>&1 </dev/null &
  echo $! >"$home/$1/pid"
  # Nothing is to be said of its end.
  disown
}

await_node() {
  local log=$home/$1/server.log
  for _ in $(seq 240); do
    grep -q 'Kafka Server started' "$log" && return
    is_running "$1" || { tail -n 40 "$log" >&2; fail "node $1 ended while starting; see $log"; }
    sleep 0.5
  done
  fail "node $1 did not start within two minutes; see $log"
}

grant() {
  (tool org.apache.kafka.tools.AclCommand --bootstrap-server "127.0.0.1:$port" --add --allow-principal "User:$(env_ user)" \
    --producer --topic miffy --resource-pattern-type prefixed) >"$home/acl.log" 2>&1 ||
    fail "the ACL could not be made; see $home/acl.log"
}

start() {
  local kind=${1:-plain} node addresses=()
  case $kind in plain | secure | cluster) ;; *) fail "there is no kind \"$kind\"" ;; esac
  for node in 1 2 3; do
    is_running "$node" && fail "it runs already in $home, as process $(cat "$home/$node/pid")"
  done
  command -v java >/dev/null || fail "java is not installed"
  resolve
  prepare "$kind"
  # What does not start in order does not stay.
  trap 'stop' EXIT
  for node in $(nodes); do start_node "$node"; done
  for node in $(nodes); do
    await_node "$node"
    addresses+=("127.0.0.1:$(port_of "$node")")
  done
  [ "$kind" != secure ] || grant
  trap - EXIT
  (IFS=,; echo "${addresses[*]}")
}

# Ends a node at once: what it would write at an orderly end is not needed, or not wanted.
kill_node() {
  is_running "$1" || return 0
  kill -9 "$(cat "$home/$1/pid")"
  while is_running "$1"; do sleep 0.05; done
}

# Keeps the logs, to be read after a test that failed.
stop() {
  local node
  for node in 1 2 3; do
    kill_node "$node"
    rm -rf "$home/$node/pid" "$home/$node/data"
  done
  rm -rf "$home/env" "$home/tls"
}

run() {
  start "$@"
  trap 'stop' EXIT
  trap 'exit 0' INT TERM
  tail -n +1 -f "$home/1/server.log" --pid="$(cat "$home/1/pid")" &
  wait $!
}

restart_node() {
  [ -d "$home/$1/data" ] || fail "there is no node $1 in $home"
  kill_node "$1"
  start_node "$1"
  await_node "$1"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  start | run) "$command" "$@" ;;
  stop) stop ;;
  pause) signal STOP "${1:-1}" ;;
  resume) signal CONT "${1:-1}" ;;
  kill) kill_node "${1:-1}" ;;
  restart) restart_node "${1:-1}" ;;
  tool) resolve && tool "$@" ;;
  *) fail "usage: kafka.sh start | stop | run | pause | resume | kill | restart | tool; see its first lines" ;;
esac
