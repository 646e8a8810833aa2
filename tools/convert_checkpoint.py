"""Rename the keys of a checkpoint to another project's layout, without loss. The precision does not change."""

import argparse
from pathlib import Path

from mmbeit3.cli import run

_OURS = "mmbeit3"
# Key of a .pth file under which each project's loader expects the weights.
_WRAPPERS = {"official": "model", "timm": None, "vit_adapter": "state_dict", _OURS: "state_dict"}


def main() -> None:
    """Parse arguments, convert and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a .pth or .safetensors file or a DeepSpeed folder, in any supported layout")
    parser.add_argument("target", help="output file: .safetensors (needs little memory) or .pth")
    parser.add_argument("--to", required=True, choices=["ours", *_WRAPPERS], help="layout to write (ours is mmbeit3)")
    parser.add_argument("--vision-only", action="store_true", help="write only the vision tower")
    parser.add_argument("--allow-nonfinite", action="store_true", help="accept weights that are NaN or infinite")
    args = parser.parse_args()

    from mmbeit3.checkpoint import convert, read_lazily, write_checkpoint
    from mmbeit3.checkpoint.finding import is_index
    from mmbeit3.checkpoint.naming import count_names
    from mmbeit3.files import refuse_overwriting

    to = _OURS if args.to == "ours" else args.to
    source = Path(args.source)
    # An index lists files beside it.
    refuse_overwriting(args.target, source.parent if is_index(source) else source)
    done = convert(read_lazily(args.source), to, args.vision_only)
    write_checkpoint(done.tensors, args.target, _WRAPPERS[to], args.allow_nonfinite)
    print(f"{len(done.tensors)} tensors from the {done.source} layout in the {to} layout in '{args.target}'")
    if done.left_out:
        print(f"left out: {count_names(done.left_out)}")
    if done.unread:
        print(f"left out: first rows of {count_names(done.unread)}, which no model uses")


if __name__ == "__main__":
    run(main)
