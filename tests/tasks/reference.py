"""Reference models of the tasks (see the README of the goldens), and batches like those of the datasets."""

import torch

from tests.goldens import golden

TOLERANCE = {"atol": 2e-4, "rtol": 0}

SMALL = {
    "embed_dims": 48,
    "num_layers": 2,
    "num_heads": 3,
    "ffn_dims": 96,
    "image_size": 32,
    "vocab_size": 64,
    "max_text_positions": 16,
}


def reference(task):
    """Return inputs, outputs, the architecture under 'arch', and the official state dict of the task under 'weights'."""
    values = golden("beit3_tasks_a.npz")
    sizes = values["meta"]
    values["arch"] = {
        "embed_dims": sizes["dim"],
        "num_layers": sizes["depth"],
        "num_heads": sizes["heads"],
        "ffn_dims": sizes["ffn"],
        "image_size": sizes["image"],
        "vocab_size": sizes["vocab"],
        "max_text_positions": sizes["max_text_positions"],
    }
    values["padding"] = values["padding"].bool()
    prefix = f"{task}/weight/"
    values["weights"] = {name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)}
    return values


def official_file(weights, folder):
    """Write a checkpoint in the official format."""
    path = folder / "official.pth"
    torch.save({"model": weights}, path)
    return path


def inputs(count=8, names=("image", "tokens")):
    """Return a batch. Each image patch has one colour: with noise per pixel all patches would have similar features."""
    generator = torch.Generator().manual_seed(1)
    batch = {}
    for name in names:
        if name == "tokens":
            tokens = torch.randint(3, 60, (count, 6), generator=generator)
            tokens[:, 0] = 0
            batch["padding_mask"] = torch.arange(6).expand(count, -1) >= 4 + torch.arange(count)[:, None] % 3
            batch["tokens"] = tokens.masked_fill(batch["padding_mask"], 1)
        else:
            image = torch.randint(0, 256, (count, 3, 2, 2), dtype=torch.uint8, generator=generator)
            batch[name] = image.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    return batch
