"""Training: one optimiser step of the face network on a batch of 64, on the CPU or a CUDA device."""

from __future__ import annotations

import torch
from edge_emotion_export.training.face_network import SIZE, FaceCnn, to_input

from benchmarks.harness import YARDSTICK, Options, Result, interleave, yardstick

BATCH = 64


def run(options: Options) -> Result:
    """Time forward, backward and update; wall time is what counts on a GPU."""
    result = Result("training")
    if options.provider != "cpu" and not torch.cuda.is_available():
        result.not_measured[options.provider] = "torch sees no CUDA device here"
        return result
    device = "cpu" if options.provider == "cpu" else "cuda"
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = FaceCnn().to(device).train()
    optimiser = torch.optim.AdamW(network.parameters())
    crops = to_input(torch.randint(0, 256, (BATCH, SIZE, SIZE), dtype=torch.uint8)).to(device)
    targets = torch.full((BATCH, 8), 1 / 8, device=device)

    def step() -> None:
        _, votes, affect = network(crops)
        loss = torch.nn.functional.cross_entropy(votes, targets) + affect.square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    timings = interleave({YARDSTICK: yardstick, f"step on {device}": step}, max(options.rounds // 10, 3))
    result.add_timings(timings)
    mean_s = float(timings[f"step on {device}"].wall_ns.mean()) / 1e9
    result.add(f"faces a second on {device}", BATCH / mean_s, "1/s")
    return result
