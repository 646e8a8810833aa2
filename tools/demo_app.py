"""Serve a local web page with one tab per given model. Needs Gradio: pip install 'mmbeit3[app]'."""

import argparse

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and serve until interrupted."""
    from mmbeit3.web.app import build_app, serve_app
    from mmbeit3.web.tabs import TABS

    parser = argparse.ArgumentParser(description=__doc__)
    for task, (_, names) in TABS.items():
        parser.add_argument(f"--{task}", nargs=len(names), metavar=names, help=f"model of the tab for {task}")
    parser.add_argument("--device", default="cpu", help="e.g. cuda:0 (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; there is no password (%(default)s)")
    parser.add_argument("--port", type=int, help="port number (first free port from 7860)")
    args = parser.parse_args()
    models = {task: values for task in TABS if (values := getattr(args, task)) is not None}
    app = build_app([TABS[task][0](*values, device=args.device) for task, values in models.items()])
    print(f"page at {serve_app(app, args.host, args.port)}", flush=True)
    app.block_thread()


if __name__ == "__main__":
    run(main)
