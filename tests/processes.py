"""Several processes over gloo, as the tests of distributed code want them."""

import os
import sys

import torch
import torch.multiprocessing as mp


def run_together(function, folder, *args, start_method="spawn"):
    """Run ``function(rank, folder, *args)`` in two processes of one group, with one thread each.

    ``"fork"`` starts faster, as nothing is imported again, but only where no thread of PyTorch's runs yet that is needed.
    """
    mp.start_processes(_member, (function, str(folder), *args), nprocs=2, start_method=start_method)


def _member(rank, function, folder, *args):
    # MMEngine asks the environment.
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    # A port found free may be taken by another test before it is used; a file may not.
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    function(rank, folder, *args)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # PyTorch's threads that let go of Python objects while the interpreter shuts down abort the process now and then.
    os._exit(0)
