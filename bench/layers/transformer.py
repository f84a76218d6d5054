"""The encoder and decoder of "Attention Is All You Need" (Vaswani et al., NIPS 2017), as its section 3 writes them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.layers.positions import sincos1d


class Attention(nn.Module):
    """Concat(head₁, …, head_h) Wᴼ with heads softmax(QKᵀ/√d_k) V, projections without biases (section 3.2.2)."""

    def __init__(self, dim: int, heads: int, key: int, value: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, heads * key, bias=False)
        self.k = nn.Linear(dim, heads * key, bias=False)
        self.v = nn.Linear(dim, heads * value, bias=False)
        self.out = nn.Linear(heads * value, dim, bias=False)

    def forward(self, x: Tensor, memory: Tensor, *, causal: bool = False) -> Tensor:
        """(B, T, D) that looks at (B, S, D), to (B, T, D); `causal`: at nothing later than itself."""
        q, k, v = (self._split(y) for y in (self.q(x), self.k(memory), self.v(memory)))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)  # (B, heads, T, d_v)
        z: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return z

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, heads·d) to (B, heads, N, d)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """LayerNorm(x + Dropout(Sublayer(x))) for attention, in a decoder attention to the encoder, and an MLP."""

    def __init__(self, dim: int, hidden: int, *, attentions: int, sizes: tuple[int, int, int], dropout: float) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(Attention(dim, *sizes) for _ in range(attentions))
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(attentions + 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """(B, N, D) to the same; `memory` (B, S, D): what an encoder made, for a decoder, which is causal."""
        looked_at = (None, memory)
        for attention, norm, other in zip(self.attentions, self.norms, looked_at, strict=False):
            y = attention(x, x if other is None else other, causal=other is None and memory is not None)
            x = norm(x + self.dropout(y))
        z: Tensor = self.norms[-1](x + self.dropout(self.mlp(x)))
        return z


class Transformer(nn.Module):
    """Entries of a vocabulary, (B, S) read and (B, T) written so far, to logits of what comes next, (B, T, vocabulary).

    One matrix embeds both sides, times √D, and makes the logits (section 3.4). Learned positions are one table for
    both sides. Dropout follows every sublayer and the sums of embeddings and positions (section 5.4).
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        tokens: int,
        dim: int,
        depth: int,
        hidden: int,
        heads: int,
        key: int,
        value: int,
        positions: str,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = (heads, key, value)
        self.embedding = nn.Parameter(torch.empty(vocabulary, dim))
        self.dropout = nn.Dropout(dropout)
        self.encoder, self.decoder = (
            nn.ModuleList(Layer(dim, hidden, attentions=each, sizes=sizes, dropout=dropout) for _ in range(depth))
            for each in (1, 2)
        )
        self.positions: Tensor
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty(tokens, dim))
        else:
            self.register_buffer("positions", sincos1d(tokens, dim), persistent=False)
        self._start()

    def _start(self) -> None:
        """Draw the weights: embeddings of unit length, matrices as Glorot and Bengio (2010), biases 0."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        nn.init.normal_(self.embedding, std=self.embedding.shape[1] ** -0.5)
        if isinstance(self.positions, nn.Parameter):
            nn.init.normal_(self.positions, std=self.embedding.shape[1] ** -0.5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S) and (B, T) int64 to (B, T, vocabulary)."""
        memory = self._embedded(source)
        for layer in self.encoder:
            memory = layer(memory)
        x = self._embedded(target)
        for layer in self.decoder:
            x = layer(x, memory)
        return F.linear(x, self.embedding)

    def _embedded(self, entries: Tensor) -> Tensor:
        """(B, N) to (B, N, D)."""
        x = F.embedding(entries, self.embedding) * math.sqrt(self.embedding.shape[1])
        y: Tensor = self.dropout(x + self.positions[: entries.shape[1]])
        return y
