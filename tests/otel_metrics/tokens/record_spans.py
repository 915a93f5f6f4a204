"""Record the spans that other people's GenAI instrumentations really emit, as JSON fixtures.

    python tests/otel_metrics/tokens/record_spans.py [SUITE ...]

Each suite is a set of packages. The script makes a virtual environment for it in a temporary
directory, installs the newest releases, runs itself there against a loopback server that speaks
the OpenAI and the Anthropic API, and writes `spans/<scenario>.json`: the spans, what each had at
its start (that is all a sampler sees), and what the server billed. Not a test: it downloads.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import pkgutil
import re
import subprocess
import tempfile
import threading
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("spans")
TEXT_MAX = 80
WHOLE = ("gen_ai.usage.raw", "llm.invocation_parameters")
"""Attributes that are JSON and read as such: never shortened."""
PORT_SHOWN = 8080
CONTENT = re.compile(
    r"messages|gen_ai\.(prompt|completion)\.|input\.value|output\.value|tools\.|vector|schema"
    r"|stacktrace|^code\.|response_data$|metadata$|entity\.(input|output)$|call\.(arguments|result)"
    r"|definitions$|model_request_parameters|final_result|logfire\.metrics|embedding\.text$"
)
"""Attributes that hold content or name the recording machine: left out, nothing here reads them."""

# Everything below loads other people's packages by name: they are in the suites' environments
# only, and none of them is there when this file is type-checked.
load = pkgutil.resolve_name

# --- The server ---------------------------------------------------------------------------------


class Provider(BaseHTTPRequestHandler):
    """Answers by what the last message asks for, and keeps what it billed and told."""

    billed: list[dict[str, Any]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        request = json.loads(self.rfile.read(length))
        wish = json.dumps(request.get("messages") or request.get("input") or "")
        self.number = len(self.billed) + 1
        if "please fail" in wish:
            self._bill(request, status=429)
            self._send(429, {"error": {"type": "rate_limit", "message": "slow down"}})
            return
        answer = {
            "chat/completions": self._chat,
            "embeddings": self._embeddings,
            "responses": self._responses,
            "messages": self._messages,
        }
        for path, act in answer.items():
            if self.path.endswith(path):
                act(request, wish)
                return
        self._send(404, {})

    def _bill(self, request: dict[str, Any], *, status: int = 200, **usage: int) -> None:
        provider = "anthropic" if self.path.endswith("messages") else "openai"
        self.billed.append(
            {"provider": provider, "model": request["model"], "status": status, **usage}
        )

    def _chat(self, request: dict[str, Any], wish: str) -> None:
        cached, reasoning = (80, 6) if "cached" in wish else (0, 0)
        n = self.number
        usage = {
            "prompt_tokens": 100 + n,
            "completion_tokens": 10 + n,
            "total_tokens": 110 + 2 * n,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
        is_told = not request.get("stream") or (request.get("stream_options") or {}).get(
            "include_usage"
        )
        told = {"input": 100 + n, "output": 10 + n, "cache_read": cached, "reasoning": reasoning}
        self._bill(request, **(told if is_told else {}))
        message: dict[str, Any] = {"role": "assistant", "content": "Fine."}
        reason = "stop"
        if "use the tool" in wish and '"tool"' not in wish:
            call = {"name": "weather", "arguments": '{"city": "Bern"}'}
            called = {"id": "call_1", "type": "function", "function": call}
            message = {"role": "assistant", "content": None, "tool_calls": [called]}
            reason = "tool_calls"
        head = {"id": f"chatcmpl-{n}", "created": 1, "model": request["model"] + "-2024-07-18"}
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            body = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            self._send(200, body)
            return
        head["object"] = "chat.completion.chunk"
        for call in message.get("tool_calls", []):
            call["index"] = 0
        chunks: list[dict[str, Any]] = [
            {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        ]
        if is_told:
            chunks.append({**head, "choices": [], "usage": usage})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._send_text("".join([*lines, "data: [DONE]\n\n"]))

    def _embeddings(self, request: dict[str, Any], wish: str) -> None:
        n = self.number
        self._bill(request, input=100 + n, output=0)
        vector = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}
        usage = {"prompt_tokens": 100 + n, "total_tokens": 100 + n}
        body = {"object": "list", "data": [vector], "model": request["model"], "usage": usage}
        self._send(200, body)

    def _responses(self, request: dict[str, Any], wish: str) -> None:
        n = self.number
        self._bill(request, input=100 + n, output=10 + n, cache_read=64, reasoning=4)
        content = {"type": "output_text", "text": "Fine.", "annotations": []}
        item = {"type": "message", "id": f"msg_{n}", "status": "completed", "role": "assistant"}
        body = {
            "id": f"resp_{n}",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": request["model"] + "-2024-07-18",
            "output": [{**item, "content": [content]}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 100 + n,
                "input_tokens_details": {"cached_tokens": 64},
                "output_tokens": 10 + n,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 110 + 2 * n,
            },
        }
        self._send(200, body)

    def _messages(self, request: dict[str, Any], wish: str) -> None:
        n = self.number
        read, write = (2000, 300) if "cached" in wish else (0, 0)
        # Anthropic's input_tokens leaves the cached ones out; we bill them with.
        usage = {
            "input_tokens": 20 + n,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write,
            "output_tokens": 10 + n,
        }
        self._bill(
            request, input=20 + n + read + write, output=10 + n, cache_read=read, cache_write=write
        )
        content: dict[str, Any] = {"type": "text", "text": "Fine."}
        reason = "end_turn"
        if "use the tool" in wish and "tool_result" not in wish:
            call = {"id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
            content = {"type": "tool_use", **call}
            reason = "tool_use"
        head = {
            "id": f"msg_{n}",
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "stop_sequence": None,
        }
        if not request.get("stream"):
            body = {**head, "content": [content], "stop_reason": reason, "usage": usage}
            self._send(200, body)
            return
        begun = {**head, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        delta = {"stop_reason": reason, "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {**content, "text": ""}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "Fine."},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10 + n}},
            {"type": "message_stop"},
        ]
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
        self._send_text("".join(lines))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body))

    def _send_text(self, text: str) -> None:
        self._write(200, "text/event-stream", text)

    def _write(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def provider() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    Provider.billed = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, Provider.billed
    finally:
        server.shutdown()
        server.server_close()


# --- What a service does ------------------------------------------------------------------------

USER = "user"


def say(text: str) -> list[dict[str, str]]:
    return [{"role": USER, "content": text}]


class Clients:
    """The clients of one scenario, pointed at the loopback server."""

    def __init__(self, port: int) -> None:
        self.openai_url = f"http://127.0.0.1:{port}/v1"
        self.anthropic_url = f"http://127.0.0.1:{port}"
        common: dict[str, Any] = {"api_key": "none", "max_retries": 0}
        self.openai = load("openai:OpenAI")(base_url=self.openai_url, **common)
        self.openai_async = load("openai:AsyncOpenAI")(base_url=self.openai_url, **common)
        self.anthropic = load("anthropic:Anthropic")(base_url=self.anthropic_url, **common)


def use_openai(clients: Clients) -> None:
    chat = clients.openai.chat.completions
    mini: dict[str, Any] = {"model": "gpt-4o-mini"}
    chat.create(messages=say("hello"), **mini)
    chat.create(messages=say("a cached one"), **mini)
    for options in ({"stream_options": {"include_usage": True}}, {}):
        for _ in chat.create(messages=say("stream"), stream=True, **options, **mini):
            pass
    with contextlib.suppress(Exception):
        chat.create(messages=say("please fail"), **mini)
    with contextlib.suppress(Exception):
        chat.create(messages=say("please fail"), stream=True, **mini)
    clients.openai.embeddings.create(model="text-embedding-3-small", input="hello")
    clients.openai.responses.create(input="hello", **mini)

    async def both() -> None:
        create = clients.openai_async.chat.completions.create
        await asyncio.gather(*(create(messages=say("hello"), **mini) for _ in range(2)))

    asyncio.run(both())


def use_anthropic(clients: Clients) -> None:
    create = clients.anthropic.messages.create
    sonnet: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 100}
    create(messages=say("hello"), **sonnet)
    create(messages=say("a cached one"), **sonnet)
    for _ in create(messages=say("a cached stream"), stream=True, **sonnet):
        pass
    with contextlib.suppress(Exception):
        create(messages=say("please fail"), **sonnet)


def use_langchain(clients: Clients) -> None:
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"sunny in {city}"

    gpt = load("langchain_openai:ChatOpenAI")(
        model="gpt-4o-mini", base_url=clients.openai_url, api_key="none", max_retries=0
    )
    claude = load("langchain_anthropic:ChatAnthropic")(
        model="claude-sonnet-4-5", base_url=clients.anthropic_url, api_key="none", max_retries=0
    )
    gpt.invoke("hello")
    for _ in gpt.stream("stream", stream_usage=True):
        pass
    for _ in gpt.stream("stream", stream_usage=False):
        pass
    with contextlib.suppress(Exception):
        gpt.invoke("please fail")
    claude.invoke("a cached one")
    try:
        create_agent = load("langchain.agents:create_agent")
    except AttributeError:  # before langchain 1
        return
    agent = create_agent(gpt, [weather], name="forecaster")
    agent.invoke({"messages": say("use the tool")})
    asyncio.run(agent.ainvoke({"messages": say("use the tool")}))


def use_pydantic_ai(clients: Clients) -> None:
    agent = load("pydantic_ai:Agent")
    plain = load("anthropic:AsyncAnthropic")(
        base_url=clients.anthropic_url, api_key="none", max_retries=0
    )
    claude = load("pydantic_ai.models.anthropic:AnthropicModel")(
        "claude-sonnet-4-5",
        provider=load("pydantic_ai.providers.anthropic:AnthropicProvider")(anthropic_client=plain),
    )
    gpt = load("pydantic_ai.models.openai:OpenAIChatModel")(
        "gpt-4o-mini",
        provider=load("pydantic_ai.providers.openai:OpenAIProvider")(
            openai_client=clients.openai_async
        ),
    )
    forecaster = agent(gpt, name="forecaster")

    @forecaster.tool_plain  # type: ignore[untyped-decorator]  # its package is not here
    def weather(city: str) -> str:
        return f"sunny in {city}"

    async def run() -> None:
        await forecaster.run("use the tool")
        await agent(claude, name="reader").run("a cached one")
        async with agent(gpt, name="streamer").run_stream("stream") as result:
            await result.get_output()
        with contextlib.suppress(Exception):
            await agent(gpt, name="failing").run("please fail")

    asyncio.run(run())


# --- Suites and scenarios -----------------------------------------------------------------------


def use_decorators(clients: Clients) -> None:
    memory = load("opentelemetry.sdk.trace.export.in_memory_span_exporter:InMemorySpanExporter")
    load("traceloop.sdk:Traceloop").init(exporter=memory(), disable_batch=True)
    tool, task, agent, workflow = (
        load(f"traceloop.sdk.decorators:{name}") for name in ("tool", "task", "agent", "workflow")
    )

    def weather() -> str:
        return "sunny"

    def ask() -> None:
        clients.openai.chat.completions.create(model="gpt-4o-mini", messages=say("hello"))

    def forecast() -> None:
        task(name="ask")(ask)()
        tool(name="weather")(weather)()

    def daily() -> None:
        agent(name="forecaster")(forecast)()

    workflow(name="daily")(daily)()


def use_pydantic_ai_with_logfire(clients: Clients) -> None:
    instrument_with_logfire(clients)
    use_pydantic_ai(clients)


def use_openai_with_logfire(clients: Clients) -> None:
    instrument_with_logfire(clients)
    use_openai(clients)


def use_anthropic_with_logfire(clients: Clients) -> None:
    instrument_with_logfire(clients)
    use_anthropic(clients)


def instrument_with_logfire(clients: Clients) -> None:
    for client in (clients.openai, clients.openai_async):
        load("logfire:instrument_openai")(client)
    load("logfire:instrument_anthropic")(clients.anthropic)


LANGCHAIN = ["langchain", "langchain-openai", "langchain-anthropic"]
CLIENTS = ["openai", "anthropic", "opentelemetry-sdk"]
SUITES = {
    "official": [
        *CLIENTS,
        "opentelemetry-instrumentation-genai-openai",
        "opentelemetry-instrumentation-genai-anthropic",
        "opentelemetry-util-genai",
    ],
    # Its last release does not import with the newest util-genai.
    "openai-v2": [
        "openai<3",
        "anthropic",
        "opentelemetry-sdk",
        "opentelemetry-instrumentation-openai-v2",
        "opentelemetry-util-genai==0.4b0",
    ],
    "openllmetry": [
        *CLIENTS,
        *LANGCHAIN,
        "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-anthropic",
        "opentelemetry-instrumentation-langchain",
    ],
    # The names of 2025: gen_ai.system, gen_ai.usage.prompt_tokens, llm.usage.total_tokens.
    "openllmetry-2025": [
        "openai<2",
        "anthropic<0.60",
        "langchain<1",
        "langchain-openai<1",
        "langchain-anthropic<1",
        "traceloop-sdk==0.45.6",
    ],
    "openinference": [
        *CLIENTS,
        *LANGCHAIN,
        "openinference-instrumentation-openai",
        "openinference-instrumentation-anthropic",
        "openinference-instrumentation-langchain",
    ],
    "both": [
        *CLIENTS,
        "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-genai-openai",
        "openinference-instrumentation-openai",
    ],
    "pydantic": ["openai", "anthropic", "logfire", "pydantic-ai-slim[openai,anthropic]"],
}
OFFICIAL = "opentelemetry.instrumentation.genai"
OPENLLMETRY = "opentelemetry.instrumentation"
OPENINFERENCE = "openinference.instrumentation"


@dataclass(frozen=True)
class Scenario:
    suite: str
    use: Callable[[Clients], None]
    instrumentors: tuple[str, ...] = ()
    pydantic_settings: dict[str, Any] | None = None


SCENARIOS = {
    "official-openai": Scenario("official", use_openai, (f"{OFFICIAL}.openai:OpenAIInstrumentor",)),
    "official-anthropic": Scenario(
        "official", use_anthropic, (f"{OFFICIAL}.anthropic:AnthropicInstrumentor",)
    ),
    "official-openai-v2": Scenario(
        "openai-v2", use_openai, ("opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",)
    ),
    "both-openllmetry-openinference": Scenario(
        "both",
        use_openai,
        (f"{OPENLLMETRY}.openai:OpenAIInstrumentor", f"{OPENINFERENCE}.openai:OpenAIInstrumentor"),
    ),
    "both-official-openllmetry": Scenario(
        "both",
        use_openai,
        (f"{OFFICIAL}.openai:OpenAIInstrumentor", f"{OPENLLMETRY}.openai:OpenAIInstrumentor"),
    ),
    "openllmetry-2025-decorators": Scenario("openllmetry-2025", use_decorators),
    "pydantic-ai": Scenario("pydantic", use_pydantic_ai, pydantic_settings={}),
    "pydantic-ai-aggregated": Scenario(
        "pydantic",
        use_pydantic_ai,
        pydantic_settings={"version": 2, "use_aggregated_usage_attribute_names": False},
    ),
    "pydantic-ai-and-logfire": Scenario(
        "pydantic", use_pydantic_ai_with_logfire, pydantic_settings={}
    ),
    "logfire-openai": Scenario("pydantic", use_openai_with_logfire),
    "logfire-anthropic": Scenario("pydantic", use_anthropic_with_logfire),
}
for _suite, _family, _langchain in (
    ("openllmetry", OPENLLMETRY, "Langchain"),
    ("openllmetry-2025", OPENLLMETRY, "Langchain"),
    ("openinference", OPENINFERENCE, "LangChain"),
):
    _clients = (
        f"{_family}.openai:OpenAIInstrumentor",
        f"{_family}.anthropic:AnthropicInstrumentor",
    )
    _framework = f"{_family}.langchain:{_langchain}Instrumentor"
    SCENARIOS |= {
        f"{_suite}-openai": Scenario(_suite, use_openai, _clients[:1]),
        f"{_suite}-anthropic": Scenario(_suite, use_anthropic, _clients[1:]),
        f"{_suite}-langchain": Scenario(_suite, use_langchain, (_framework,)),
        f"{_suite}-langchain-and-clients": Scenario(_suite, use_langchain, (_framework, *_clients)),
    }


# --- Recording ----------------------------------------------------------------------------------


class Tape:
    """A span processor that keeps the order in which spans started and ended."""

    def __init__(self) -> None:
        self.turn = 0
        self.started: dict[int, tuple[int, dict[str, Any]]] = {}
        self.spans: list[tuple[int, Any]] = []

    def next_turn(self) -> int:
        self.turn += 1
        return self.turn

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        first = {"name": span.name, "attributes": dict(span.attributes or {})}
        self.started[span.context.span_id] = (self.next_turn(), first)

    def _on_ending(self, span: Any) -> None:
        pass

    def on_end(self, span: Any) -> None:
        self.spans.append((self.next_turn(), span))

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def as_json(self, port: int) -> list[dict[str, Any]]:
        numbers: dict[int, int] = {}
        order = sorted(self.spans, key=lambda pair: self.started[pair[1].context.span_id][0])
        zero = min(span.start_time for _, span in order)
        return [self._span(span, end, numbers, zero, port) for end, span in order]

    def _span(
        self, span: Any, ended: int, numbers: dict[int, int], zero: int, port: int
    ) -> dict[str, Any]:
        numbers[span.context.span_id] = len(numbers) + 1
        turn, first = self.started[span.context.span_id]
        scope = span.instrumentation_scope
        return {
            "id": numbers[span.context.span_id],
            "parent": numbers.get(span.parent.span_id) if span.parent else None,
            "turns": [turn, ended],
            "scope": {"name": scope.name, "version": scope.version},
            "kind": span.kind.name,
            "times_ns": [span.start_time - zero, span.end_time - zero],
            "at_start": {"name": first["name"], "attributes": tidy(first["attributes"], port)},
            "name": span.name,
            "status": span.status.status_code.name,
            "attributes": tidy(span.attributes, port),
            "events": [
                {
                    "name": event.name,
                    "at_ns": event.timestamp - zero,
                    "attributes": tidy(event.attributes, port),
                }
                for event in span.events
            ],
        }


def tidy(attributes: Any, port: int) -> dict[str, Any]:
    """Leave out content, shorten what is long, and hide the port."""
    kept = {}
    for key, value in sorted((attributes or {}).items()):
        if CONTENT.search(key):
            continue
        plain = list(value) if isinstance(value, (tuple, list)) else value
        if plain == port:
            plain = PORT_SHOWN
        if isinstance(plain, str):
            plain = plain.replace(f":{port}", f":{PORT_SHOWN}")
            if len(plain) > TEXT_MAX and key not in WHOLE:
                plain = plain[:TEXT_MAX] + "…"
        kept[key] = plain
    return kept


def record(name: str) -> None:
    """Record one scenario in this interpreter, which has its packages and runs nothing else."""
    scenario = SCENARIOS[name]
    tape = Tape()
    tracer_provider = traced_by(tape, scenario)
    for path in scenario.instrumentors:
        load(path)().instrument(tracer_provider=tracer_provider, skip_dep_check=True)
    if scenario.pydantic_settings is not None:
        settings = load("pydantic_ai.models.instrumented:InstrumentationSettings")
        load("pydantic_ai:Agent").instrument_all(
            settings(tracer_provider=tracer_provider, **scenario.pydantic_settings)
        )
    with provider() as (port, billed):
        scenario.use(Clients(port))
    gc.collect()  # some spans end when their stream is collected
    packages = (re.split(r"[\[<=]", package)[0] for package in SUITES[scenario.suite])
    about = {
        "scenario": name,
        "packages": {package: metadata.version(package) for package in packages},
    }
    spans = tape.as_json(port)
    write(OUT / f"{name}.json", about, {"billed": billed, "spans": spans})
    print(f"{name}: {len(spans)} spans, {len(billed)} calls")


def traced_by(tape: Tape, scenario: Scenario) -> Any:
    trace = load("opentelemetry.trace")
    if scenario.suite == "pydantic":
        load("logfire:configure")(send_to_logfire=False, console=False)
    else:
        trace.set_tracer_provider(load("opentelemetry.sdk.trace:TracerProvider")())
    trace.get_tracer_provider().add_span_processor(tape)
    return trace.get_tracer_provider()


def write(path: Path, about: dict[str, Any], lists: dict[str, list[Any]]) -> None:
    """Write JSON with one call or span a line, so that a new recording shows as a small diff."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    parts = [f'"{key}":{compact(value)}' for key, value in about.items()]
    parts += [
        f'"{key}":[\n' + ",\n".join(map(compact, items)) + "\n]" for key, items in lists.items()
    ]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def install_and_record(suite: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *SUITES[suite]], check=True)
        record_with(python, suite)


def record_with(python: str, suite: str) -> None:
    for name, scenario in SCENARIOS.items():
        if scenario.suite == suite:
            command = [python, "-W", "ignore", __file__, "--scenario", name]
            subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--scenario", help="record one, with the packages of this interpreter")
    parser.add_argument("--python", help="use an interpreter that has the suite's packages")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    if arguments.scenario:
        record(arguments.scenario)
        return
    for suite in arguments.suites or SUITES:
        if arguments.python:
            record_with(arguments.python, suite)
        else:
            install_and_record(suite)


if __name__ == "__main__":
    main()
