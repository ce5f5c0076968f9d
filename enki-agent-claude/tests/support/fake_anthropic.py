#!/usr/bin/env python3
"""fake_anthropic.py - a scripted stand-in for the Anthropic Messages API, on loopback.

Python 3 standard library only, one file.  Its purpose is to let a *real* client (Claude Code, the
Claude ACP adapter, opencode with its anthropic provider, any SDK) run end to end with no network
and no model: what "the model" says is read from a JSON scenario file.

    fake_anthropic.py --scenarios scenarios.json [--port 0] [--port-file F] [--log F.jsonl] [--dump DIR]
                      [--until-eof] [--loopback-up]

The first stdout line is JSON: {"port": 41237, "base_url": "http://127.0.0.1:41237"}.  `--port 0`
picks a free port.  The server binds 127.0.0.1 only.  SIGTERM/SIGINT end it; with --until-eof the end of
stdin does too, so that it cannot outlive a test.  --loopback-up is for a fresh network namespace.

Scenario file
-------------
{ "aux": "text answered to tool-less side requests (titles, summaries) no scenario claims",
  "default": {"turns": [{"text": "fallback"}]},            # when no scenario matches
  "scenarios": [
    { "name": "edit",
      "match": {"prompt": "(?P<what>fix|break) the file",  # regex, re.S, on a user prompt's text
                "model": "haiku",                          # regex on the request's model id
                "system": "You are a reviewer",            # regex on the system prompt
                "tools": true },                           # default true: request must offer tools
      "turns": [ TURN, TURN, ... ] } ] }

A scenario is chosen by walking the request's user prompts from the newest to the oldest and taking
the first scenario (in file order) that matches.  The turn played is the number of assistant
messages *after* that prompt in the request, so the position is a property of the conversation
itself: concurrent runs, resumed sessions and a restarted server need no bookkeeping.  Past the last
turn, the last one is repeated unless it holds tool calls; then "Done." is said.

TURN (all keys optional)
  text        string or list of strings: text blocks
  thinking    string: a thinking block placed first
  tool_use    list of {"name","input"} (or one): tool_use blocks; stop_reason becomes tool_use
  stop_reason end_turn | tool_use | max_tokens | refusal | ...
  usage       {"input_tokens":..,"output_tokens":..,"cache_read_input_tokens":..,...}
  delay       seconds before the response head;   chunk_delay: seconds between SSE deltas
  fail        FAIL or list of FAIL, played (each `times`, default 1; -1 = for ever) before the turn
              succeeds.  Counted per conversation and turn, so retries consume them in order; with
              "all": true counted over all conversations, whatever was said in them before.
  meet        {"name":..,"of":N}: answered once N conversations have come that far; a minute is waited
FAIL  {"status":429,"retry_after":1,"type":"rate_limit_error","message":"..","headers":{..}} HTTP error
              with "reset_in":S also the headers of an account whose limit is used up for S seconds
      {"sse_error":"overloaded_error"}     200, then an `error` event inside the stream
      {"truncate":N}                       N events, then a clean close without message_stop
      {"reset":N}                          N events, then a TCP reset
      {"hang":"head"|"stream","seconds":S} never answers / stops mid stream (S default: for ever)
      {"garbage":"text"}                   200 text/event-stream holding that text
Strings anywhere in a turn may use {{cwd}} (the client's working directory, read from the system
prompt), {{model}}, {{session}}, {{last_result}} (text of the newest tool result), {{prompt}}, and
{{NAME}}/{{1}} for the groups of the prompt regex.

Introspection:  GET /_fake/requests -> every request so far;  POST /_fake/reset -> forget;
POST /_fake/scenarios with a scenario file as body -> replace the script.
"""
import argparse, fcntl, hashlib, itertools, json, os, re, signal, socket, struct, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
               404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
               500: "api_error", 503: "api_error", 529: "overloaded_error"}
MODELS = ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5-20251001"]


def blocks(content):
    """The content of a message as a list of blocks (the API also allows a bare string)."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else (content or [])


def text_of(content):
    """All the text of a content value, tool results included."""
    out = []
    for b in blocks(content):
        if b.get("type") == "text":
            out.append(b.get("text", ""))
        elif b.get("type") == "tool_result":
            out.append(text_of(b.get("content")))
    return "\n".join(out)


def is_prompt(msg):
    """A user message that was not produced by a tool."""
    return msg.get("role") == "user" and not any(
        b.get("type") == "tool_result" for b in blocks(msg.get("content")))


def substitute(value, names):
    """Replace {{name}} in every string inside a JSON value."""
    if isinstance(value, str):
        return re.sub(r"\{\{(\w+)\}\}", lambda m: str(names.get(m.group(1), m.group(0))), value)
    if isinstance(value, list):
        return [substitute(v, names) for v in value]
    if isinstance(value, dict):
        return {k: substitute(v, names) for k, v in value.items()}
    return value


class Script:
    """Scenario selection and failure counters.  All state is behind one lock."""

    def __init__(self, doc):
        self.lock = threading.Lock()
        self.failed = {}
        self.met = threading.Condition()
        self.come = {}
        self.load(doc)

    def load(self, doc):
        self.doc = doc
        with self.lock:
            self.failed.clear()

    def meet(self, where, session):
        """Waits until so many conversations are here at once. Tells whether they came."""
        with self.met:
            here = self.come.setdefault(where["name"], set())
            here.add(session)
            self.met.notify_all()
            return self.met.wait_for(lambda: len(here) >= where["of"], timeout=60)

    @staticmethod
    def session_of(body, headers):
        """A stable name for the conversation: header, metadata, or a hash of its beginning."""
        sid = headers.get("X-Claude-Code-Session-Id")
        if not sid:
            user = str((body.get("metadata") or {}).get("user_id", ""))
            m = re.search(r"session_(?:id\W+)?([0-9a-f-]{36})", user)
            sid = m.group(1) if m else None
        if not sid:
            first = json.dumps((body.get("messages") or [None])[0], sort_keys=True)
            sid = hashlib.sha256(first.encode()).hexdigest()[:16]
        return sid

    def choose(self, body):
        """-> (scenario, turn index, regex match or None)"""
        system = text_of(body.get("system"))
        messages = body.get("messages") or []
        has_tools = bool(body.get("tools"))
        for at in range(len(messages) - 1, -1, -1):
            if not is_prompt(messages[at]):
                continue
            prompt = text_of(messages[at].get("content"))
            for sc in self.doc.get("scenarios", []):
                want = sc.get("match", {})
                if want.get("tools", True) is not None and want.get("tools", True) != has_tools:
                    continue
                if "model" in want and not re.search(want["model"], body.get("model", "")):
                    continue
                if "system" in want and not re.search(want["system"], system, re.S):
                    continue
                hit = re.search(want.get("prompt", ""), prompt, re.S)
                if hit:
                    done = sum(m.get("role") == "assistant" for m in messages[at + 1:])
                    return sc, done, hit
        if not has_tools:
            return {"name": "(aux)", "turns": [{"text": self.doc.get("aux", "ok")}]}, 0, None
        fallback = self.doc.get("default") or {"turns": [{"text": "fake: no scenario matched"}]}
        done = 0
        for m in reversed(messages):
            if is_prompt(m):
                break
            done += m.get("role") == "assistant"
        return dict(fallback, name=fallback.get("name", "(default)")), done, None

    def turn(self, body, headers):
        """-> (scenario name, turn index, turn with strings filled in, failure or None)"""
        sc, index, hit = self.choose(body)
        turns = sc.get("turns") or [{}]
        if index < len(turns):
            turn = turns[index]
        else:
            turn = {"text": "Done."} if turns[-1].get("tool_use") else turns[-1]
        session = self.session_of(body, headers)
        system = text_of(body.get("system"))
        messages = body.get("messages") or []
        # The working directory is in the system prompt, or (--exclude-dynamic-...) in a message.
        where = system + "\n" + "\n".join(text_of(m.get("content")) for m in messages[:2])
        cwd = re.search(r"(?i)(?:working directory|cwd)[^\n:]*:\s*(/[^\n]*)", where)
        names = {"cwd": cwd.group(1).strip() if cwd else os.getcwd(), "session": session,
                 "model": body.get("model", ""),
                 "last_result": text_of(messages[-1].get("content")) if messages else "",
                 "prompt": next((text_of(m["content"]) for m in reversed(messages) if is_prompt(m)), "")}
        if hit:
            names.update({str(i + 1): g for i, g in enumerate(hit.groups())})
            names.update(hit.groupdict())
        fails = turn.get("fail") or []
        fails = fails if isinstance(fails, list) else [fails]
        failure = None
        with self.lock:
            whose = "all" if any(f.get("all") for f in fails) else session
            key = (whose, sc.get("name"), index, 0 if whose == "all" else len(messages))
            seen = self.failed.get(key, 0)
            budget = 0
            for f in fails:
                times = f.get("times", 1)
                budget += times if times >= 0 else 1 << 40
                if seen < budget:
                    self.failed[key] = seen + 1
                    failure = f
                    break
        return sc.get("name", "?"), index, substitute(turn, names), failure


def build_message(turn, body):
    """The complete Messages API answer for a turn."""
    content = []
    if turn.get("thinking"):
        content.append({"type": "thinking", "thinking": turn["thinking"], "signature": "ZmFrZQ=="})
    texts = turn.get("text", [])
    for t in [texts] if isinstance(texts, str) else texts:
        content.append({"type": "text", "text": t})
    calls = turn.get("tool_use", [])
    for c in [calls] if isinstance(calls, dict) else calls:
        content.append({"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:24],
                        "name": c["name"], "input": c.get("input", {})})
    usage = {"input_tokens": max(1, len(json.dumps(body.get("messages", []))) // 4),
             "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
             "output_tokens": max(1, len(json.dumps(content)) // 4), "service_tier": "standard"}
    usage.update(turn.get("usage", {}))
    return {"id": "msg_" + uuid.uuid4().hex[:24], "type": "message", "role": "assistant",
            "model": body.get("model", "fake"), "content": content,
            "stop_reason": turn.get("stop_reason", "tool_use" if calls else "end_turn"),
            "stop_sequence": None, "usage": usage}


def sse_events(msg):
    """The streaming form of a message: (event name, data) pairs."""
    head = dict(msg, content=[], stop_reason=None, usage=dict(msg["usage"], output_tokens=1))
    yield "message_start", {"message": head}
    for i, b in enumerate(msg["content"]):
        kind = b["type"]
        if kind == "tool_use":
            start, field, whole = dict(b, input={}), "partial_json", json.dumps(b["input"])
            delta = "input_json_delta"
        elif kind == "thinking":
            start, field, whole = dict(b, thinking="", signature=""), "thinking", b["thinking"]
            delta = "thinking_delta"
        else:
            start, field, whole, delta = {"type": "text", "text": ""}, "text", b["text"], "text_delta"
        yield "content_block_start", {"index": i, "content_block": start}
        if i == 0:
            yield "ping", {}
        step = max(1, min(200, len(whole) // 4 or 1))
        for at in range(0, len(whole), step):
            yield "content_block_delta", {"index": i,
                                          "delta": {"type": delta, field: whole[at:at + step]}}
        if kind == "thinking":
            yield "content_block_delta", {"index": i, "delta": {"type": "signature_delta",
                                                                "signature": b["signature"]}}
        yield "content_block_stop", {"index": i}
    yield "message_delta", {"delta": {"stop_reason": msg["stop_reason"], "stop_sequence": None},
                            "usage": msg["usage"]}
    yield "message_stop", {}


class Journal:
    """Every request, in memory and optionally as JSON lines plus one file per request body."""

    def __init__(self, path=None, dump=None):
        self.lock, self.entries, self.counter = threading.Lock(), [], itertools.count(1)
        self.file = open(path, "a", buffering=1) if path else None
        self.dump = dump
        if dump:
            os.makedirs(dump, exist_ok=True)

    def add(self, entry, body=None):
        with self.lock:
            entry["n"] = next(self.counter)
            self.entries.append(entry)
            if self.file:
                self.file.write(json.dumps(entry) + "\n")
        if self.dump and body is not None:
            with open(os.path.join(self.dump, "%04d.json" % entry["n"]), "w") as f:
                json.dump(body, f, indent=1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script = journal = None
    stop = threading.Event()

    def log_message(self, *args):
        pass

    # -- plumbing ---------------------------------------------------------------------------
    def send_json(self, status, value, headers=None):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("request-id", "req_" + uuid.uuid4().hex[:20])
        for k, v in (headers or {}).items():
            self.send_header(k, str(v))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error_json(self, status, kind=None, message="", headers=None):
        kind = kind or ERROR_TYPES.get(status, "api_error")
        self.send_json(status, {"type": "error", "error": {"type": kind, "message": message or kind},
                                "request_id": "req_fake"}, headers)

    def read_body(self):
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def note(self, body=None, **more):
        keep = ("user-agent", "anthropic-version", "anthropic-beta", "x-app", "x-stainless-retry-count",
                "x-claude-code-session-id", "x-claude-code-agent-id", "x-stainless-timeout")
        entry = {"t": round(time.time(), 3), "method": self.command, "path": self.path,
                 "auth": "x-api-key" if self.headers.get("x-api-key") else
                         "bearer" if self.headers.get("authorization") else "none",
                 "headers": {k: self.headers[k] for k in keep if self.headers.get(k)}}
        if isinstance(body, dict):
            msgs = body.get("messages") or []
            entry.update(model=body.get("model"), stream=bool(body.get("stream")),
                         max_tokens=body.get("max_tokens"), messages=len(msgs),
                         tools=[t.get("name") for t in body.get("tools") or []],
                         system_chars=len(text_of(body.get("system"))),
                         last=text_of(msgs[-1].get("content"))[-400:] if msgs else "")
        entry.update(more)
        self.journal.add(entry, body)

    # -- routes -----------------------------------------------------------------------------
    def do_HEAD(self):
        self.note()
        self.send_json(200, {})

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/_fake/requests":
            return self.send_json(200, self.journal.entries)
        self.note()
        if path == "/v1/models":
            data = [{"type": "model", "id": m, "display_name": m,
                     "created_at": "2026-01-01T00:00:00Z"} for m in MODELS]
            return self.send_json(200, {"data": data, "has_more": False,
                                        "first_id": MODELS[0], "last_id": MODELS[-1]})
        if path.startswith("/v1/models/"):
            name = path.rsplit("/", 1)[1]
            return self.send_json(200, {"type": "model", "id": name, "display_name": name,
                                        "created_at": "2026-01-01T00:00:00Z"})
        if path == "/":
            return self.send_json(200, {"fake": True})
        self.send_error_json(404, message="fake: no such path " + path)

    def do_POST(self):
        path = self.path.split("?")[0]
        raw = self.read_body()
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            self.note(bad_json=True)
            return self.send_error_json(400, message="fake: body is not JSON")
        if path == "/_fake/reset":
            self.journal.entries.clear()
            self.script.load(self.script.doc)
            return self.send_json(200, {})
        if path == "/_fake/scenarios":
            self.script.load(body)
            return self.send_json(200, {})
        if path == "/v1/messages/count_tokens":
            self.note(body)
            return self.send_json(200, {"input_tokens": max(1, len(raw) // 4)})
        if path != "/v1/messages":
            self.note(body)
            return self.send_error_json(404, message="fake: no such path " + path)
        name, index, turn, failure = self.script.turn(body, self.headers)
        self.note(body, scenario=name, turn=index, fail=failure)
        try:
            if "meet" in turn and not failure:
                if not self.script.meet(turn["meet"], self.script.session_of(body, self.headers)):
                    return self.send_error_json(400, message="fake: the others did not come")
            self.answer(body, turn, failure or {})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # -- answers ----------------------------------------------------------------------------
    def answer(self, body, turn, fail):
        if turn.get("delay"):
            self.stop.wait(turn["delay"])
        if fail.get("hang") == "head":
            self.hang(fail)
            return self.drop()
        if "status" in fail:
            headers = dict(fail.get("headers", {}))
            if "retry_after" in fail:
                headers["retry-after"] = fail["retry_after"]
            if "reset_in" in fail:
                headers["anthropic-ratelimit-unified-status"] = "rejected"
                headers["anthropic-ratelimit-unified-reset"] = int(time.time()) + fail["reset_in"]
                headers["anthropic-ratelimit-unified-representative-claim"] = "five_hour"
            return self.send_error_json(fail["status"], fail.get("type"), fail.get("message", ""), headers)
        message = build_message(turn, body)
        if not body.get("stream") and not fail:
            return self.send_json(200, message)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("request-id", "req_" + uuid.uuid4().hex[:20])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "garbage" in fail:
            self.chunk(fail["garbage"].encode() if isinstance(fail["garbage"], str) else b"\x00\xff{{{\n\n")
            return self.chunk(b"")
        if "sse_error" in fail:
            self.event("error", {"error": {"type": fail["sse_error"], "message": "fake stream error"}})
            return self.chunk(b"")
        limit = fail.get("truncate", fail.get("reset", 4 if "hang" in fail else None))
        for n, (kind, data) in enumerate(sse_events(message)):
            if limit is not None and n >= int(limit):
                if "hang" in fail:
                    self.hang(fail)
                if "truncate" in fail:
                    return self.chunk(b"")
                return self.drop()
            self.event(kind, data)
            if turn.get("chunk_delay"):
                self.stop.wait(turn["chunk_delay"])
        self.chunk(b"")

    def event(self, kind, data):
        payload = json.dumps(dict({"type": kind}, **data))
        self.chunk(("event: %s\ndata: %s\n\n" % (kind, payload)).encode())

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def hang(self, fail):
        """Hold the connection until the time is up, the server ends, or the client goes away."""
        end = time.time() + fail.get("seconds", 1 << 31)
        self.connection.settimeout(0.5)
        while time.time() < end and not self.stop.is_set():
            try:
                if self.connection.recv(1, socket.MSG_PEEK) == b"":
                    break
            except socket.timeout:
                continue
            except OSError:
                break
            time.sleep(0.1)

    def drop(self):
        """Close with a TCP reset instead of a clean end."""
        self.close_connection = True
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        except OSError:
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError, OSError)):
            super().handle_error(request, client_address)


def start(doc, port=0, log=None, dump=None):
    """Start in a background thread (for use from Python tests); returns the server object."""
    handler = type("BoundHandler", (Handler,), {"script": Script(doc), "journal": Journal(log, dump),
                                                "stop": threading.Event()})
    server = Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    ap = argparse.ArgumentParser(description="scripted fake of the Anthropic Messages API (loopback only)")
    ap.add_argument("--scenarios", help="JSON scenario file; without it every prompt gets a fixed text")
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file", help="also write the port number here, atomically")
    ap.add_argument("--log", help="append one JSON line per request")
    ap.add_argument("--dump", help="write every request body to DIR/NNNN.json")
    ap.add_argument("--until-eof", action="store_true", help="end when stdin ends")
    ap.add_argument("--loopback-up", action="store_true", help="bring up lo first, for a fresh network namespace")
    args = ap.parse_args()
    if args.loopback_up:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
    if args.until_eof:
        def watch():
            while os.read(0, 4096):
                pass
            os._exit(0)
        threading.Thread(target=watch, daemon=True).start()
    doc = {}
    if args.scenarios:
        with open(args.scenarios) as f:
            doc = json.load(f)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = start(doc, args.port, args.log, args.dump)
    port = server.server_address[1]
    print(json.dumps({"port": port, "base_url": "http://127.0.0.1:%d" % port}), flush=True)
    if args.port_file:
        with open(args.port_file + ".tmp", "w") as f:
            f.write(str(port))
        os.replace(args.port_file + ".tmp", args.port_file)
    try:
        while True:
            time.sleep(3600)
    except (KeyboardInterrupt, SystemExit):
        server.RequestHandlerClass.stop.set()


if __name__ == "__main__":
    main()
