"""Weights that torchvision saved mean the same to `searcher`: equal logits for equal inputs."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import BINARIES
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck, ResNet

CLASSES = 7
# Between f32 results of two programs that add in different orders.
TOLERANCE = 1e-4


class GatedBottleneck(Bottleneck):
    """SE-ResNeXt's, which torchvision lacks: a gate between the last norm and the shortcut."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        channels = self.bn3.num_features
        self.se = nn.ModuleDict({"fc1": nn.Conv2d(channels, channels // 16, 1), "fc2": nn.Conv2d(channels // 16, channels, 1)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        inner = self.bn3(self.conv3(inner))
        gate = self.se["fc2"](self.relu(self.se["fc1"](inner.mean((2, 3), keepdim=True))))
        return self.relu(inner * gate.sigmoid() + (x if self.downsample is None else self.downsample(x)))


def small_stem(model: ResNet) -> ResNet:
    """The stem for images of up to 64 pixels: 3 × 3, stride 1, no pooling."""
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()  # type: ignore[assignment]
    return model


def small_strides(model: nn.Module, second: nn.Conv2d) -> nn.Module:
    """The first two strides are 1 instead of 2."""
    for layer in (model.features[0][0], second):  # type: ignore[index]
        assert layer.stride == (2, 2)
        layer.stride = (1, 1)
    return model


def mobilenet_v2_small() -> nn.Module:
    model = models.mobilenet_v2(num_classes=CLASSES)
    return small_strides(model, model.features[2].conv[1][0])  # type: ignore[index]


def efficientnet_b0_small() -> nn.Module:
    model = models.efficientnet_b0(num_classes=CLASSES)
    return small_strides(model, model.features[2][0].block[1][0])  # type: ignore[index]


def swin_small() -> nn.Module:
    return models.SwinTransformer(
        patch_size=[2, 2],
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=[4, 4],
        num_classes=CLASSES,
    )


def vit(side: int, patch: int) -> nn.Module:
    sizes = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768, "num_classes": CLASSES}
    return models.VisionTransformer(image_size=side, patch_size=patch, **sizes)


def names_of_timm(name: str) -> str:
    """torchvision's names of a vision transformer's weights in those of timm, whose DeiT-tiny it is."""
    for pattern, replacement in {
        r"^class_token$": "cls_token",
        r"^encoder\.pos_embedding$": "pos_embed",
        r"^conv_proj\.": "patch_embed.proj.",
        r"^encoder\.layers\.encoder_layer_(\d+)\.": r"blocks.\1.",
        r"^encoder\.ln\.": "norm.",
        r"^heads\.head\.": "head.",
        r"\.ln_([12])\.": r".norm\1.",
        r"\.self_attention\.in_proj_": ".attn.qkv.",
        r"\.self_attention\.out_proj\.": ".attn.proj.",
        r"\.mlp\.0\.": ".mlp.fc1.",
        r"\.mlp\.3\.": ".mlp.fc2.",
    }.items():
        name = re.sub(pattern, replacement, name)
    return name


def scramble(model: nn.Module, images: torch.Tensor) -> None:
    """Makes every weight and buffer matter, also those that are all 0 or 1 at first."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.0)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                module.bias.normal_(0, 0.2)
        for name, parameter in model.named_parameters():
            if re.search("relative_position_bias_table|pos_embedding|class_token|in_proj_bias|head.*weight", name):
                parameter.normal_(0, 0.5)
        # With the statistics of what comes through, nothing fades on its way; then these are made to differ from it.
        for norm in norms:
            norm.momentum = 1.0
        model.train()(images)
        for norm in norms:
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
        model.eval()


NETWORKS: list[tuple[str, int, Callable[[], nn.Module]]] = [
    ("resnet18", 96, lambda: models.resnet18(num_classes=CLASSES)),
    ("resnet18", 32, lambda: small_stem(models.resnet18(num_classes=CLASSES))),
    ("resnet50", 96, lambda: models.resnet50(num_classes=CLASSES)),
    (
        "se_resnext50",
        96,
        lambda: ResNet(GatedBottleneck, [3, 4, 6, 3], num_classes=CLASSES, groups=32, width_per_group=4),
    ),
    ("mobilenet_v2", 96, lambda: models.mobilenet_v2(num_classes=CLASSES)),
    ("mobilenet_v2", 32, mobilenet_v2_small),
    ("efficientnet_b0", 96, lambda: models.efficientnet_b0(num_classes=CLASSES)),
    ("efficientnet_b0", 32, efficientnet_b0_small),
    # 25 × 25 patches: windows are shifted, padded, and in the end larger than what is left; a merging has an odd row.
    ("swin_t", 100, lambda: models.swin_t(num_classes=CLASSES)),
    ("swin_t", 32, swin_small),
    ("vit_tiny", 96, lambda: vit(96, 16)),
    ("vit_tiny", 32, lambda: vit(32, 4)),
]


def logits_of_searcher(target: str, weights: Path, images: torch.Tensor) -> torch.Tensor:
    """The logits of `searcher`, which is built with libtorch."""
    inputs, outputs = weights.with_name("input.safetensors"), weights.with_name("logits.safetensors")
    save_file({"input": images}, inputs)
    command = [BINARIES / "searcher", "logits", "--target", target, "--classes", str(CLASSES)]
    subprocess.run([*command, "--weights", weights, "--input", inputs, "--logits", outputs], check=True)
    return load_file(outputs)["logits"]


@pytest.mark.parametrize(("target", "side", "build"), NETWORKS, ids=[f"{name}-{side}" for name, side, _ in NETWORKS])
def test_a_state_dict_saved_by_torchvision_gives_torchvisions_logits(
    target: str, side: int, build: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(1)
    model, images = build(), torch.randn(2, 3, side, side)
    scramble(model, images)
    with torch.no_grad():
        expected = model(images)
    # Logits that hardly differ would agree whatever was computed.
    assert (expected[0] - expected[1]).abs().max() > 0.01 * expected.abs().max()
    names = names_of_timm if target.startswith("vit") else str
    # Not pytest's folder, which keeps what was written by three runs: half a gigabyte each.
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        save_file({names(name): tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)
        logits = logits_of_searcher(target, weights, images)
    scale = expected.abs().max().clamp(min=1)
    torch.testing.assert_close(logits / scale, expected / scale, rtol=0, atol=TOLERANCE)
