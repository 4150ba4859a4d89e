"""`demo:vit`: a small vision transformer for the built-in digits.

    patch_embed - [CLS, 16 patches] + pos_embed - blocks.0 ... blocks.4 - norm - head(CLS)

Pre-norm blocks (Dosovitskiy et al. 2021, "An image is worth 16x16 words",
https://arxiv.org/abs/2010.11929) with timm's names: `attn.qkv`, `attn.proj`, `mlp.fc1`,
`mlp.act`, `mlp.fc2`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from analysis.architectures.architecture import (
    Architecture,
    AttentionLayer,
    PathLayer,
    ResidualBlock,
)
from analysis.data.digits import CLASSES, MEAN, STD

WIDTH = 64
DEPTH = 5
HEADS = 4
HIDDEN = 128
PATCH = 2
TOKENS = (8 // PATCH) ** 2 + 1


class Attention(nn.Module):
    """Multi-head self-attention over N,T,D; `heads` may be lowered with the projections.

    The softmax is spelled out: the fused CPU kernel has no second derivative, and 17 tokens gain
    nothing from it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.heads = HEADS
        self.head_width = WIDTH // HEADS

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, _ = x.shape
        qkv = self.qkv(x).view(count, tokens, 3, self.heads, self.head_width)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_width)
        mixed = scores.softmax(dim=-1) @ value
        width = self.heads * self.head_width
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))
        return out


class Mlp(nn.Module):
    """The feed-forward part; the outputs of `act` are the neurons of the paths view."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, HIDDEN)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); N,T,D -> N,T,D."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class DemoViT(nn.Module):
    """N,1,8,8 -> N,num_classes logits, read at the CLS token (index 0)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, num_classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.cls_token.expand(len(x), -1, -1), patches), dim=1)
        tokens = self.norm(self.blocks(tokens + self.pos_embed))
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def _build(num_classes: int) -> nn.Module:
    return DemoViT(num_classes).eval()


ARCHITECTURE = Architecture(
    name="demo-vit",
    title="Demo ViT (digits)",
    build=_build,
    input_shape=(1, 8, 8),
    mean=MEAN,
    std=STD,
    num_classes=10,
    classes=CLASSES,
    classifier="head",
    path_layers=tuple(PathLayer(f"blocks.{i}.mlp.act", "token") for i in range(DEPTH)),
    paper="https://arxiv.org/abs/2010.11929",
    attention=tuple(
        AttentionLayer(f"{name}.qkv", f"{name}.proj", HEADS, name)
        for name in (f"blocks.{i}.attn" for i in range(DEPTH))
    ),
    blocks=tuple(
        ResidualBlock(
            f"blocks.{i}",
            tuple(
                f"blocks.{i}.{layer}.{tensor}"
                for layer in ("attn.proj", "mlp.fc2")
                for tensor in ("weight", "bias")
            ),
        )
        for i in range(DEPTH)
    ),
)
