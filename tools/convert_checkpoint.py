"""Translate a checkpoint's names to another project's, without loss; precision stays as it is."""

import argparse

from mmbeit3.cli import run

_OURS = "mmbeit3"
# Where each project's own loader looks for the weights of a .pth file.
_WRAPPERS = {"official": "model", "timm": None, "vit_adapter": "state_dict", _OURS: "state_dict"}


def main() -> None:
    """Parse arguments, convert and write."""
    from mmbeit3.checkpoint import LAYOUTS, convert, read_lazily, write_checkpoint
    from mmbeit3.checkpoint.naming import count_names
    from mmbeit3.files import refuse_overwriting

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a .pth or .safetensors file, or a folder of DeepSpeed's, in any known layout")
    parser.add_argument("target", help="file to write: .safetensors (needs little memory) or .pth")
    parser.add_argument("--to", required=True, choices=["ours", *LAYOUTS], help="layout to write (ours is mmbeit3)")
    parser.add_argument("--vision-only", action="store_true", help="leave out all but the vision tower")
    parser.add_argument("--allow-nonfinite", action="store_true", help="write weights that are NaN or infinite, too")
    args = parser.parse_args()

    to = _OURS if args.to == "ours" else args.to
    refuse_overwriting(args.target, args.source)
    done = convert(read_lazily(args.source), to, args.vision_only)
    write_checkpoint(done.tensors, args.target, _WRAPPERS[to], args.allow_nonfinite)
    print(f"{len(done.tensors)} tensors from the {done.source} layout in the {to} layout in '{args.target}'")
    if done.left_out:
        print(f"left out: {count_names(done.left_out)}")
    if done.unread:
        print(f"left out: first rows of {count_names(done.unread)}, which no model reads")


if __name__ == "__main__":
    run(main)
