"""Serve a local web page with one tab per given model. Needs Gradio: pip install 'mmbeit3[app]'."""

import argparse

from mmbeit3.cli import run
from mmbeit3.web.tasks import TASKS

_EPILOG = (
    "MODEL is the work dir of a training, a folder of publish_model, a name of the zoo, or a config file; a config file needs "
    "CHECKPOINT."
)


class _Formatter(argparse.HelpFormatter):
    """Formatter that shows the arguments of a task as they are: argparse would write MODEL [CHECKPOINT ...]."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return str(action.metavar) if action.nargs == "+" else super()._format_args(action, default_metavar)


def main() -> None:
    """Parse arguments and serve until interrupted."""
    usage = "%(prog)s --TASK MODEL [CHECKPOINT] [--TASK MODEL [CHECKPOINT] ...] [options]"
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EPILOG, usage=usage, formatter_class=_Formatter)
    for task, arguments in TASKS.items():
        parser.add_argument(f"--{task}", nargs="+", metavar=arguments, help=f"model of the tab for {task}")
    parser.add_argument(
        "--examples", metavar="FOLDER", help="images to click (a few of the model's test dataset, or rendered shapes)"
    )
    parser.add_argument("--device", help="e.g. cuda:1 or cpu (default: a GPU if there is one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; there is no password (%(default)s)")
    parser.add_argument("--port", type=int, help="port number (first free port from 7860)")
    args = parser.parse_args()
    models = {task: values for task in TASKS if (values := getattr(args, task)) is not None}
    for task, values in models.items():
        # One argument may be missing: the checkpoint.
        most = len(TASKS[task].split())
        if not most - 1 <= len(values) <= most:
            parser.error(f"argument --{task}: expected {TASKS[task]}, got {len(values)} arguments")

    from mmbeit3.web.app import build_app, serve_app
    from mmbeit3.web.tabs import TABS

    tabs = [TABS[task](*values, device=args.device) for task, values in models.items()]
    app = build_app(tabs, args.examples)
    print(f"page at {serve_app(app, args.host, args.port)}", flush=True)
    app.block_thread()


if __name__ == "__main__":
    run(main)
