//! What a route on `/u/{id}` can say that is wrong, and how the problem begins that it is told with.

/// Of `host`, `headers` and `query`.
pub(super) const CONDITIONS: &[(&str, &str)] = &[
    ("host = \"a:80\"", "routes[0].host: \"a:80\" is no host"),
    (
        "host = \"http://a\"",
        "routes[0].host: \"http://a\" is no host",
    ),
    ("host = \"\"", "routes[0].host: \"\" is no host"),
    (
        "host = \"ä.example\"",
        "routes[0].host: \"ä.example\" is no host",
    ),
    ("host = [\"a\"]", "routes[0].host: must be text"),
    ("host = {}", "routes[0].host: is empty"),
    (
        "host = { present = true }",
        "routes[0].host.present: unknown key",
    ),
    (
        "host = { prefix = \"a/\" }",
        "routes[0].host.prefix: \"a/\" is no host",
    ),
    (
        "host = { regex = \"(\" }",
        "routes[0].host.regex: \"(\" is no regular",
    ),
    ("headers = 1", "routes[0].headers: must be a table"),
    ("headers = [1]", "routes[0].headers: must be a table"),
    (
        "headers = { \"a b\" = \"1\" }",
        "routes[0].headers.a b: \"a b\" is no header's name",
    ),
    (
        "headers = { \"\" = \"1\" }",
        "routes[0].headers.: \"\" is no header's name",
    ),
    (
        "headers = { \"é\" = \"1\" }",
        "routes[0].headers.é: \"é\" is no header's name",
    ),
    (
        "headers = { A = \"1\", a = \"1\" }",
        "routes[0].headers.a: stands there twice",
    ),
    (
        "headers = { Host = \"a\" }",
        "routes[0].headers.Host: is for host",
    ),
    ("headers = { a = 1.5 }", "routes[0].headers.a: must be text"),
    ("headers = { a = [] }", "routes[0].headers.a: must be text"),
    (
        "headers = { a = \" 1\" }",
        "routes[0].headers.a: begins or ends with a space",
    ),
    (
        "headers = { a = \"1\\n2\" }",
        "routes[0].headers.a: \"1\\n2\" is nothing",
    ),
    ("headers = { a = {} }", "routes[0].headers.a: is empty"),
    (
        "headers = { a = { prefix = \"\" } }",
        "routes[0].headers.a.prefix: is empty",
    ),
    (
        "headers = { a = { prefix = {} } }",
        "routes[0].headers.a.prefix: must be text",
    ),
    (
        "headers = { a = { regex = \"[\" } }",
        "routes[0].headers.a.regex: \"[\" is no regular",
    ),
    (
        "headers = { a = { present = false } }",
        "routes[0].headers.a.present: must be true",
    ),
    (
        "headers = { a = { absent = 3 } }",
        "routes[0].headers.a.absent: \"3\" is not true or false",
    ),
    (
        "headers = { a = { prefx = \"a\" } }",
        "routes[0].headers.a.prefx: unknown key",
    ),
    (
        "headers = { a = { exact = \"a\", present = true } }",
        "routes[0].headers.a: says exact and present",
    ),
    ("query = { \"\" = \"1\" }", "routes[0].query.: is empty"),
    ("query = \"a=1\"", "routes[0].query: must be a table"),
];

/// Of `sample` and `sample_by`.
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("sample = 1.5", "routes[0].sample: \"1.5\" is no part"),
    ("sample = -1", "routes[0].sample: \"-1\" is no part"),
    ("sample = nan", "routes[0].sample: \"NaN\" is no part"),
    ("sample = \"5%\"", "routes[0].sample: \"5%\" is no part"),
    ("sample = true", "routes[0].sample: \"true\" is no part"),
    ("sample = {}", "routes[0].sample: must be a number"),
    (
        "sample_by = \"session\"",
        "routes[0].sample_by: \"session\" must be",
    ),
    (
        "sample_by = \"query:a\"",
        "routes[0].sample_by: \"query:a\" must be",
    ),
    (
        "sample_by = \"cookie:\"",
        "routes[0].sample_by: \"\" is no cookie's name",
    ),
    (
        "sample_by = \"cookie:a=b\"",
        "routes[0].sample_by: \"a=b\" is no cookie's name",
    ),
    (
        "sample_by = \"header:é\"",
        "routes[0].sample_by: \"é\" is no header's name",
    ),
    (
        "sample_by = \"param:\"",
        "routes[0].sample_by: \"param:\" must be",
    ),
    (
        "sample_by = \"param:user\"",
        "routes[0].sample_by: the path has no parameter",
    ),
    (
        "sample_by = [\"cookie:a\"]",
        "routes[0].sample_by: must be text",
    ),
];

/// Of backends, who answers, and methods in short.
pub(super) const BACKENDS: &[(&str, &str)] = &[
    (
        "reference = \"a:1\"",
        "routes[0].reference: \"a:1\" has no scheme",
    ),
    ("reference = 1", "routes[0].reference: \"1\" has no scheme"),
    ("reference = []", "routes[0].reference: must be a URL"),
    (
        "reference = { url = 1 }",
        "routes[0].reference.url: \"1\" has no scheme",
    ),
    (
        "reference = { url = \"http://localhost:8080\" }",
        "routes[0].reference.url: http://localhost:8080 is where",
    ),
    (
        "reference = { compare = false }",
        "routes[0].reference.compare: unknown key",
    ),
    (
        "candidate = \"http://localhost:8080\"",
        "routes[0].candidate: http://localhost:8080 is where",
    ),
    (
        "candidates = { a = \"http://localhost:8080\" }",
        "routes[0].candidates.a: http://localhost:8080 is where",
    ),
    (
        "candidates = { a = { url = \"http://localhost:8080\" } }",
        "routes[0].candidates.a.url: http://localhost:8080 is where",
    ),
    ("candidates = {}", "routes[0].candidates: is empty"),
    ("candidates = []", "routes[0].candidates: must be a table"),
    (
        "candidates = \"http://a\"",
        "routes[0].candidates: must be a table",
    ),
    (
        "candidates = { a = 1 }",
        "routes[0].candidates.a: \"1\" has no scheme",
    ),
    (
        "candidates = { \"a b\" = \"http://a\" }",
        "routes[0].candidates.a b: is no candidate's name",
    ),
    (
        "candidates = { \"\" = \"http://a\" }",
        "routes[0].candidates.: is no candidate's name",
    ),
    (
        "candidates = { \"ä\" = \"http://a\" }",
        "routes[0].candidates.ä: is no candidate's name",
    ),
    (
        "candidates = { reference = \"http://a\" }",
        "routes[0].candidates.reference: is the name of",
    ),
    (
        "candidate = \"http://a\", candidates = { a = \"http://a\" }",
        "routes[0].candidates: can't stand beside candidate",
    ),
    (
        "candidate = { compare = 3 }",
        "routes[0].candidate.compare: \"3\" is not true or false",
    ),
    (
        "candidate = { max_in_flight = 0 }",
        "routes[0].candidate.max_in_flight: \"0\" is not",
    ),
    (
        "candidate = { timeouts = { exchange = \"off\" } }",
        "routes[0].candidate.timeouts.exchange: can't be off",
    ),
    (
        "candidate = { timeouts = { connect = 1 } }",
        "routes[0].candidate.timeouts.connect: \"1\" is not a duration",
    ),
    (
        "candidate = { timeouts = { conect = \"1s\" } }",
        "routes[0].candidate.timeouts.conect: unknown key",
    ),
    (
        "candidate = { timeouts = 1 }",
        "routes[0].candidate.timeouts: must be a table",
    ),
    (
        "candidate = { pool = { max_idle = 0 } }",
        "routes[0].candidate.pool.max_idle: \"0\" is not",
    ),
    (
        "candidate = { protocol = \"http3\" }",
        "routes[0].candidate.protocol: \"http3\" is not",
    ),
    (
        "candidate = { tls = { certificate = \"a.pem\" } }",
        "routes[0].candidate.tls.key: is off",
    ),
    (
        "candidate = { tls = { ca = \"a.pem\", insecure = true } }",
        "routes[0].candidate.tls.insecure: makes no sense",
    ),
    (
        "candidate = { tls = { ca = \"/no/such.pem\" } }",
        "routes[0].candidate.tls: /no/such.pem can't be read",
    ),
    (
        "candidate = { path = \"v2\" }",
        "routes[0].candidate.path: \"v2\" does not start",
    ),
    (
        "candidate = { path = \"/{user}\" }",
        "routes[0].candidate.path: \"/{user}\" has no parameter {user}: the path has {id}",
    ),
    (
        "candidate = { path = \"/a?b\" }",
        "routes[0].candidate.path: \"/a?b\" has a \"?\"",
    ),
    (
        "candidate = { path = \"/é\" }",
        "routes[0].candidate.path: \"/é\" has 'é'",
    ),
    (
        "candidate = { path = \"/{id\" }",
        "routes[0].candidate.path: \"/{id\" has a \"{\"",
    ),
    (
        "candidate = { path = [] }",
        "routes[0].candidate.path: must be text",
    ),
    (
        "candidate = { host = \"a b\" }",
        "routes[0].candidate.host: \"a b\" is no host",
    ),
    (
        "candidate = { host = \"u@a\" }",
        "routes[0].candidate.host: \"u@a\" is no host",
    ),
    (
        "candidate = { host = \"a:x\" }",
        "routes[0].candidate.host: \"a:x\" is no host",
    ),
    (
        "candidate = { host = \"\" }",
        "routes[0].candidate.host: \"\" is no host",
    ),
    (
        "candidate = { host = \"é\" }",
        "routes[0].candidate.host: \"é\" is no host",
    ),
    (
        "candidate = { set_headers = { a = 1.0 } }",
        "routes[0].candidate.set_headers.a: must be text",
    ),
    (
        "candidate = { set_headers = 1 }",
        "routes[0].candidate.set_headers: must be a table",
    ),
    (
        "candidate = { set_headers = { a = [] } }",
        "routes[0].candidate.set_headers.a: must be text",
    ),
    (
        "candidate = { set_headers = { a = \"1\", A = \"2\" } }",
        "routes[0].candidate.set_headers.A: stands there twice",
    ),
    (
        "candidate = { set_headers = { \"é\" = \"1\" } }",
        "routes[0].candidate.set_headers.é: \"é\" is no header's name",
    ),
    (
        "candidate = { set_headers = { Host = \"1\" } }",
        "routes[0].candidate.set_headers.Host: can't be edited here: use host",
    ),
    (
        "candidate = { set_headers = { X-Shadow-Test-Role = \"1\" } }",
        "routes[0].candidate.set_headers.X-Shadow-Test-Role: can't be",
    ),
    (
        "candidate = { add_headers = { Content-Length = \"1\" } }",
        "routes[0].candidate.add_headers.Content-Length: can't be",
    ),
    (
        "candidate = { add_headers = { a = \"{id}\" } }",
        "routes[0].candidate.add_headers.a: has {id} in it",
    ),
    (
        "candidate = { add_headers = { a = \"{param.x}\" } }",
        "routes[0].candidate.add_headers.a: has no parameter {x}",
    ),
    (
        "candidate = { add_headers = { a = \"{env.NONE}\" } }",
        "routes[0].candidate.add_headers.a: needs the environment variable \"NONE\", which is not set",
    ),
    (
        "candidate = { add_headers = { a = \"{env.EMPTY}\" } }",
        "routes[0].candidate.add_headers.a: needs the environment variable \"EMPTY\", which is empty",
    ),
    (
        "candidate = { add_headers = { a = \"{env.LINES}\" } }",
        "routes[0].candidate.add_headers.a: can't have the value of",
    ),
    (
        "candidate = { add_headers = { a = \"{\" } }",
        "routes[0].candidate.add_headers.a: has a \"{\"",
    ),
    (
        "candidate = { add_headers = { a = \"b\\r\\nc: d\" } }",
        "routes[0].candidate.add_headers.a: has '\\r'",
    ),
    (
        "candidate = { remove_headers = \"a\" }",
        "routes[0].candidate.remove_headers: must be a list",
    ),
    (
        "candidate = { remove_headers = [\"a\", \"te\"] }",
        "routes[0].candidate.remove_headers[1]: can't be edited",
    ),
    (
        "candidate = { remove_headers = [{}] }",
        "routes[0].candidate.remove_headers[0]: must be text",
    ),
    ("respond = \"first\"", "routes[0].respond: \"first\" is not"),
    ("respond = 1", "routes[0].respond: \"1\" is not"),
    (
        "safe_only = true, methods = [\"GET\"]",
        "routes[0].safe_only: can't be true beside methods",
    ),
    (
        "safe_only = \"yes\"",
        "routes[0].safe_only: \"yes\" is not true or false",
    ),
];
