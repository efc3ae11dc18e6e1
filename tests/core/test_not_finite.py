"""Weights that are no numbers show in the scores, in every precision: nothing is drawn from rubbish."""

import numpy as np
import pytest

from textgru.core import GRU, Embedding, Linear, PackedNetwork, Session, dequantize_rows, quantize_rows


@pytest.mark.parametrize("rows", [1, 3, 17])
@pytest.mark.parametrize("place", ["weight_ih_l0", "weight_hh_l0", "weight"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_nothing_is_drawn_where_a_weight_is_nan(precision, place, rows):
    embedding, gru, output = Embedding(9, 3, seed=0), GRU(3, 17, seed=0), Linear(17, 9, seed=0)
    layer = output if place == "weight" else gru
    layer.parameters[place][5, 1] = np.nan
    session = Session(PackedNetwork(embedding.parameters["weight"], gru, output, precision=precision), rows)
    for token in (1, 2):
        session.step(np.full(rows, token))
    assert not np.isfinite(session.logits).all()
    with pytest.raises(ValueError, match="finite"):
        session.generate(np.full(rows, 1), np.full((3, rows), 0.5), 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 3, 17, 65])
def test_a_row_that_is_not_finite_has_no_scale(n, bad):
    matrix = np.random.default_rng(0).standard_normal((4, n)).astype(np.float32)
    matrix[2, n - 1] = bad
    integers, scales = quantize_rows(matrix)
    assert np.isfinite(scales).tolist() == [True, True, False, True]
    others = dequantize_rows(integers, scales)[[0, 1, 3]]
    np.testing.assert_allclose(others, matrix[[0, 1, 3]], atol=np.abs(matrix[[0, 1, 3]]).max() / 254 * 1.01)
