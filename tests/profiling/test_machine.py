import torch

from mmbeit3.profiling.machine import describe_machine, matrix_peak, memory_bandwidth


def test_describes_machine_and_versions():
    facts = describe_machine(torch.device("cpu"))
    assert facts["CPU"]
    assert facts["torch"] == torch.__version__.split("+")[0] or facts["torch"] == torch.__version__
    assert facts["mmcv"].split()[0][0].isdigit()
    assert {"timm", "torchscale", "transformers", "triton"} <= set(facts)


def test_peaks_are_positive():
    for dtype in (torch.float32, torch.bfloat16):
        assert matrix_peak(torch.device("cpu"), dtype, (64,), seconds=0.001) > 0
    assert memory_bandwidth(torch.device("cpu"), 2**16, calls=2) > 0
