#!/usr/bin/env bash
# A real Apache Kafka for tests: one node in KRaft mode, on the loopback interface, without Docker.
#
#   scripts/kafka.sh start    starts it, waits until it serves, prints its address
#   scripts/kafka.sh stop     ends it and removes its data
#   scripts/kafka.sh run      runs it until Ctrl-C
#
# Needs a JDK or JRE 17 and Maven, which gets the server's jars once. Everything stays in .kafka/.
#
#   KAFKA_TEST_PORT   the broker's port, 9192 by default; the controller takes the next one
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
home=$root/.kafka
port=${KAFKA_TEST_PORT:-9192}
controller_port=$((port + 1))
pid_file=$home/pid
log=$home/server.log

fail() {
  echo "kafka.sh: $*" >&2
  exit 1
}

# Gets the jars, unless they are those of this pom already.
resolve() {
  local pom=$root/scripts/kafka/pom.xml
  cmp -s "$pom" "$home/resolved.xml" && return
  command -v mvn >/dev/null || fail "mvn is not installed"
  rm -rf "${home:?}/lib" "$home/resolved.xml"
  mkdir -p "$home"
  mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$home/lib" >&2 ||
    fail "Maven could not get the server's jars"
  cp "$pom" "$home/resolved.xml"
}

# Runs a class of the server's, in place of the calling shell.
java_() {
  exec java -Xms256m -Xmx512m -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$home/lib/*" "$@"
}

# Writes the configuration and formats an empty data directory.
prepare() {
  rm -rf "$home/data"
  mkdir -p "$home/data"
  cat >"$home/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/data
auto.create.topics.enable=true
num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  local id
  id=$(java_ kafka.tools.StorageTool random-uuid 2>/dev/null) || fail "java does not run"
  (java_ kafka.tools.StorageTool format --standalone -t "$id" -c "$home/server.properties") >"$log" 2>&1 ||
    fail "the data directory could not be formatted; see $log"
}

# Whether the process is there and still this Kafka: its number may have become another's after a reboot.
is_running() {
  [ -f "$pid_file" ] && is_kafka "$(cat "$pid_file")"
}

is_kafka() {
  grep -qsF "$home/server.properties" "/proc/$1/cmdline"
}

start() {
  is_running && fail "it runs already, as process $(cat "$pid_file")"
  command -v java >/dev/null || fail "java is not installed"
  resolve
  prepare
  java_ kafka.Kafka "$home/server.properties" >>"$log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  for _ in $(seq 120); do
    if grep -q 'Kafka Server started' "$log"; then
      echo "127.0.0.1:$port"
      return
    fi
    is_running || { tail -n 40 "$log" >&2; fail "it ended while starting; see $log"; }
    sleep 0.5
  done
  stop
  fail "it did not start within a minute; see $log"
}

stop() {
  if is_running; then
    local pid
    pid=$(cat "$pid_file")
    kill "$pid"
    for _ in $(seq 60); do
      is_kafka "$pid" || break
      sleep 0.5
    done
    is_kafka "$pid" && kill -9 "$pid"
  fi
  rm -rf "$pid_file" "$home/data"
}

run() {
  # What runs already is not this one's to end.
  is_running && fail "it runs already, as process $(cat "$pid_file")"
  trap 'stop' EXIT
  trap 'exit 0' INT TERM
  start
  tail -n +1 -f "$log" --pid="$(cat "$pid_file")" &
  wait $!
}

case ${1:-} in
  start | stop | run) "$1" ;;
  *) fail "usage: kafka.sh start | stop | run" ;;
esac
