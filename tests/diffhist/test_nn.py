"""The modules: the functions' values on every channel of every image, and what a training loop does with them."""

import copy
import pickle

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from diffhist.nn import EMDLoss, MILoss  # noqa: E402 - torch may be missing

B, C, H, W = 2, 3, 5, 4
LOSSES = {
    "emd": lambda **k: EMDLoss(bins=8, **k),
    "circular emd": lambda **k: EMDLoss(bins=8, circular=True, **k),
    "mi": lambda **k: MILoss(bins=6, boundary=("open", "circular"), bandwidth=(0.1, 0.2), range=((0, 1), (0, 2)), **k),
}
every = pytest.mark.parametrize("name", LOSSES)


def images(seed, *shape, dtype=torch.float64):
    return torch.rand(shape or (B, C, H, W), dtype=dtype, generator=torch.Generator().manual_seed(seed))


def pictures(tensor, shape=(B, C, H, W)):
    """Each channel of each image as a NumPy vector."""
    yield from tensor.expand(shape).reshape(-1, shape[2] * shape[3]).double().numpy()


def expected(name, x, y, *weights):
    """(B, C) losses by the formulas of the paper, one channel at a time."""
    weights = [torch.ones(1, 1, 1, 1) if w is None else w for w in weights]
    losses = []
    for a, b, *w in zip(*map(pictures, (x, y, *weights)), strict=True):
        if name == "mi":
            options = {"bins": 6, "boundary": ("open", "circular"), "bandwidth": (0.1, 0.2), "range": ((0, 1), (0, 2))}
            losses.append(reference.mi_distance(reference.joint_histogram(a, b, w[0], **options)))
        else:
            options = {"bins": 8, "boundary": "circular" if name == "circular emd" else "open"}
            p, q = (reference.soft_histogram(v, u, **options) for v, u in zip((a, b), w, strict=True))
            losses.append((reference.circular_squared_emd if name == "circular emd" else reference.squared_emd)(p, q))
    return np.reshape(np.array(losses, float), (B, C))


@every
@pytest.mark.parametrize("channels", [None, 1, C])
def test_values_and_reductions(name, channels):
    x, y = images(0), images(1)
    count = 1 if name == "mi" else 2
    weights = [None if channels is None else images(2 + n, B, channels, H, W) for n in range(count)]
    each = expected(name, x, y, *weights)
    for reduction, value in (("none", each), ("mean", each.mean()), ("sum", each.sum())):
        assert_allclose(LOSSES[name](reduction=reduction)(x, y, *weights), value, rtol=1e-9, atol=1e-12)


def test_emd_compares_images_of_different_sizes():
    x, y = images(0, 1, 1, 4, 4), images(1, 1, 1, 7, 3)
    p, q = (reference.soft_histogram(a.numpy().ravel(), bins=8) for a in (x, y))
    assert_allclose(EMDLoss(bins=8)(x, y), reference.squared_emd(p, q), rtol=1e-10)


def test_circular_sets_the_boundary_unless_told():
    assert EMDLoss().options["boundary"] == "open"
    assert EMDLoss(circular=True).options["boundary"] == "circular"
    assert EMDLoss(circular=True, boundary="open").options["boundary"] == "open"


@every
def test_a_sample_without_weight_is_skipped(name):
    """Its pixels may be NaN, and the mean is over the others."""
    x, y = images(0), images(1)
    mask = torch.ones(B, C, H, W, dtype=torch.bool)
    mask[0, 1], mask[1, 2, :2] = False, False
    x, y = (a.where(mask, torch.nan).requires_grad_() for a in (x, y))
    weights = (mask,) if name == "mi" else (mask, mask)
    each = LOSSES[name](reduction="none")(x, y, *weights)
    assert each[0, 1] == 0
    others = each[each != 0]
    assert len(others) == B * C - 1
    mean = LOSSES[name]()(x, y, *weights)
    assert_allclose(mean.detach(), others.detach().mean(), rtol=1e-12)
    for gradient in torch.autograd.grad(mean, (x, y)):
        assert gradient.isfinite().all()
        assert (gradient[~mask] == 0).all()
        assert (gradient[mask] != 0).any()


def test_emd_skips_where_the_target_alone_has_no_weight():
    x = images(0).requires_grad_()
    mask = torch.ones(B, 1, H, W)
    mask[1] = 0
    loss = EMDLoss(bins=8)(x, images(1), target_weights=mask)
    assert_allclose(loss.detach(), expected("emd", x.detach(), images(1), None, None)[0].mean(), rtol=1e-9)
    (gradient,) = torch.autograd.grad(loss, x)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


@every
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_weight_anywhere_is_0(name, reduction):
    x = images(0).requires_grad_()
    loss = LOSSES[name](reduction=reduction)(x, images(1), torch.zeros(B, 1, H, W))
    assert loss == 0
    assert (torch.autograd.grad(loss, x)[0] == 0).all()


@every
def test_gradients_by_images_and_weights(name):
    count = 1 if name == "mi" else 2
    inputs = [images(n, 1, 2, 3, 2).requires_grad_() for n in range(2)]
    inputs += [images(2 + n, 1, 1, 3, 2).requires_grad_() for n in range(count)]
    assert torch.autograd.gradcheck(LOSSES[name](), inputs)
    assert torch.autograd.gradgradcheck(LOSSES[name](), inputs)


@pytest.mark.parametrize("kind", ["one for all", "one a channel", "one a channel and image"])
def test_a_reference_stands_for_a_target(kind):
    x, y, weights = images(0), images(1), images(2, B, 1, H, W)
    histograms = EMDLoss(bins=8, circular=True).histogram(y, weights)
    chosen = {"one for all": histograms[0, 0], "one a channel": histograms[0], "one a channel and image": histograms}
    loss = EMDLoss(bins=8, circular=True, reference=chosen[kind], reduction="none")
    q = np.broadcast_to(chosen[kind].numpy(), (B, C, 8)).reshape(-1, 8)
    p = [reference.soft_histogram(a, bins=8, boundary="circular") for a in pictures(x)]
    value = [reference.circular_squared_emd(*pair) for pair in zip(p, q, strict=True)]
    assert_allclose(loss(x).ravel(), value, rtol=1e-9)
    if kind == "one a channel and image":
        assert_allclose(loss(y, input_weights=weights), 0, atol=1e-12)


def test_a_reference_moves_is_saved_and_is_constant():
    x = images(0)
    made = EMDLoss(bins=8).histogram(images(1).requires_grad_())
    loss = EMDLoss(bins=8, reference=made)
    before = loss(x)
    assert not loss.reference.requires_grad
    assert list(loss.parameters()) == []
    with torch.no_grad():
        made += 1
    assert loss(x) == before, "the caller's histogram may change afterwards"
    empty = EMDLoss(bins=8, reference=torch.zeros(B, C, 8, dtype=torch.float64))
    empty.load_state_dict(loss.state_dict())
    assert empty(x) == before
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other(x) == before
    assert loss.to(torch.float32).reference.dtype == torch.float32
    assert loss.to("meta").reference.device.type == "meta"
    assert EMDLoss(bins=8).state_dict() == {}


@pytest.mark.parametrize("shape", [(C, H, W), (B, C, H, W), (1, 1, H, W), (1, C, H, W)])
def test_a_reference_image_stands_for_a_target(shape):
    x, fixed, weights = images(0), images(1, *shape), images(2, B, 1, H, W)
    loss = MILoss(bins=6, reference=fixed, reduction="none")
    plain = MILoss(bins=6, reduction="none")
    assert_allclose(loss(x), plain(x, fixed.expand(B, C, H, W)), rtol=1e-12)
    assert_allclose(loss(x, weights=weights), plain(x, fixed.expand(B, C, H, W), weights), rtol=1e-12)
    assert list(loss.state_dict()) == ["reference"]
    assert f"reference={shape}" in repr(loss)
    if len(shape) == 3:
        assert_allclose(loss(x[0]), loss(x)[0], rtol=1e-12)


@every
@pytest.mark.parametrize("shape", [(C, H, W), (C, 7, 1), (B, C, 2, H, W), (B, C, 2, 1, H, W)])
def test_images_of_any_rank_are_their_pixels(name, shape):
    batch = shape[: 1 if len(shape) == 3 else 2]
    x, y, w = (images(n, *shape) for n in range(3))
    flat = (a.reshape(1, -1, 1, shape[-1] * int(np.prod(shape[len(batch) : -1]))) for a in (x, y, w))
    weights = (w,) if name == "mi" else (w, w)
    loss = LOSSES[name](reduction="none")
    fx, fy, fw = flat
    assert_allclose(loss(x, y, *weights), loss(fx, fy, *(fw for _ in weights)).reshape(batch), rtol=1e-12)
    assert LOSSES[name]()(x, y).shape == ()
    mask = torch.ones(*(1 if n == len(batch) - 1 else m for n, m in enumerate(shape)))
    assert_allclose(loss(x, y, *(mask for _ in weights)), loss(x, y), rtol=1e-12)


@every
def test_an_empty_batch_is_0(name):
    x = torch.ones(0, C, H, W, requires_grad=True)
    for reduction, shape in (("mean", ()), ("sum", ()), ("none", (0, C))):
        loss = LOSSES[name](reduction=reduction)(x, torch.ones(0, C, H, W))
        assert loss.shape == shape
        assert loss.sum() == 0
        assert torch.autograd.grad(loss.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("where", ["input", "target", "both"])
@pytest.mark.parametrize("make", [EMDLoss, MILoss])
def test_what_is_out_of_range_is_no_match(make, where):
    x, y = images(0).requires_grad_(), images(1)
    far = images(2) * 200 + 20
    a, b = (
        torch.cat((near[:1], far[1:])) if where in (name, "both") else near
        for name, near in (("input", x), ("target", y))
    )
    named = "input" if where == "both" else where
    says = rf"{make.__name__} sees nothing .* \(0.0, 1.0\).*`{named}` is in \[0\.\d+, 21\d"
    with pytest.warns(UserWarning, match=says):
        each = make(16, reduction="none")(a, b)
    assert (each[1] == (16 if make is EMDLoss else 1)).all()
    assert_allclose(each[0].detach(), make(16, reduction="none")(x[:1], y[:1])[0].detach(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(each.sum(), x)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


@pytest.mark.parametrize("make", [EMDLoss, MILoss])
def test_out_of_range_under_transforms_and_in_range_by_a_hair(make, recwarn):
    """Where no value can be asked for, the loss says it alone; what the kernel still sees is seen."""
    x = images(0)
    many = torch.func.vmap(make(16))(torch.stack((x, x + 50)), torch.stack((x, x + 50)))
    assert many[1] == (16 if make is EMDLoss else 1)
    assert many[0] < 1
    outside = (x * 0.1 - 0.11).requires_grad_()
    (gradient,) = torch.autograd.grad(make(16)(outside, x), outside)
    assert (gradient != 0).any()
    assert make(16, boundary="reflect")(x + 50, x + 50) < 1
    assert not recwarn.list


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    halves = [images(n, dtype=torch.float32).to(dtype).requires_grad_() for n in range(2)]
    floats = [a.detach().float().requires_grad_() for a in halves]
    weights = images(3, B, 1, H, W, dtype=torch.float32).to(dtype)
    loss, exact = (LOSSES[name]()(*pair, weights) for pair in (halves, floats))
    assert loss.dtype == torch.float32
    assert_allclose(loss.detach(), exact.detach(), rtol=1e-6)
    for ours, theirs in zip(torch.autograd.grad(loss, halves), torch.autograd.grad(exact, floats), strict=True):
        assert ours.dtype == dtype
        assert_allclose(ours.float(), theirs.to(dtype).float(), rtol=1e-2, atol=1e-5)


@every
def test_autocast_changes_nothing(name):
    x, y = images(0, dtype=torch.float32), images(1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LOSSES[name]()(x, y)
    assert inside == LOSSES[name]()(x, y)


@every
def test_transforms_and_memory_layout(name):
    loss, x, y = LOSSES[name](), images(0), images(1)
    plain = loss(x, y)
    last = (a.to(memory_format=torch.channels_last) for a in (x, y))
    assert_allclose(loss(*last), plain, rtol=1e-12)
    (gradient,) = torch.autograd.grad(loss(x.requires_grad_(), y), x)
    assert_allclose(torch.func.grad(loss)(x.detach(), y), gradient, rtol=1e-12)
    many = torch.func.vmap(loss)(torch.stack((x, y)).detach(), torch.stack((y, x)).detach())
    assert_allclose(many[0], plain, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own deprecated parts
@every
def test_compiles_to_one_graph(name):
    torch.compiler.reset()
    loss = LOSSES[name]()
    x, y, weights = images(0), images(1), images(2, B, 1, H, W)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_allclose(compiled(x, y, weights), loss(x, y, weights), rtol=1e-10)


def test_repr_names_the_options():
    assert repr(EMDLoss(16, circular=True, reference=torch.ones(3, 16))) == (
        "EMDLoss(bins=16, range=(0.0, 1.0), bandwidth=None, kernel='logistic', boundary='circular', reduction='mean', "
        "circular=True, reference=(3, 16))"
    )
    assert repr(MILoss((4, 8), (0, 255), reduction="sum")) == (
        "MILoss(bins=(4, 8), range=(0, 255), bandwidth=None, kernel='logistic', boundary='open', reduction='sum')"
    )


X = images(0)
HISTOGRAM = torch.ones(8) / 8


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EMDLoss(reduction="avg"), ValueError, "`reduction` must be one of mean, sum, none, got 'avg'"),
        (lambda: EMDLoss(bins=0), ValueError, "`bins` must be at least 1, got 0"),
        (lambda: MILoss(bins=(4, 0)), ValueError, "`bins` .of y. must be at least 1, got 0"),
        (lambda: MILoss(boundary="wrap"), ValueError, "`boundary`.* got 'wrap'"),
        (lambda: EMDLoss(bins=9, reference=HISTOGRAM), ValueError, r"`reference` .*K = 9.*got \(8,\)"),
        (lambda: EMDLoss(bins=8, reference=HISTOGRAM)(X, X), ValueError, "`target` must be left out"),
        (lambda: EMDLoss(bins=8, reference=HISTOGRAM.expand(2, 8))(X), ValueError, r"`input` must fit .*\(2, 8\)"),
        (lambda: EMDLoss()(X), ValueError, "`target` must be given"),
        (lambda: EMDLoss()(X, X[:, :1]), ValueError, r"`input` and `target`.*\(2, 3, 5, 4\) and \(2, 1, 5, 4\)"),
        (lambda: MILoss()(X, X[..., :2]), ValueError, r"`input` and `target`.*\(2, 3, 5, 4\) and \(2, 3, 5, 2\)"),
        (lambda: MILoss()(X, X[0]), ValueError, r"`input` and `target`.*\(2, 3, 5, 4\) and \(3, 5, 4\)"),
        (lambda: MILoss()(X, X[0, 0]), ValueError, r"`target` must be of shape .*\(B, C, D, H, W\), got \(5, 4\)"),
        (lambda: MILoss(reference=X[0])(X, X), ValueError, "`target` must be left out"),
        (lambda: MILoss()(X), ValueError, "`target` must be given"),
        (lambda: MILoss(reference=X[:1, :2])(X), ValueError, r"`input` must fit the reference \(1, 2, 5, 4\), got"),
        (lambda: MILoss(reference=X[..., :1])(X), ValueError, r"`input` must fit the reference \(2, 3, 5, 1\), got"),
        (lambda: MILoss(reference=X)(X[0]), ValueError, r"`input` must fit the reference \(2, 3, 5, 4\), got"),
        (lambda: MILoss(reference=X[0, 0]), ValueError, r"`reference` must be of shape .*, got \(5, 4\)"),
        (lambda: EMDLoss(bins=8, reference=HISTOGRAM.expand(1, 1, 8))(X[0]), ValueError, r"`input` must fit .*\(3,\)"),
        (lambda: EMDLoss()(X.numpy(), X), TypeError, "`input` must be a tensor, got ndarray"),
        (lambda: EMDLoss()(X, X.to(torch.uint8)), TypeError, "`target` must be of a floating dtype, got torch.uint8"),
        (lambda: EMDLoss()(X, X, X[..., 0]), ValueError, r"`input_weights` must be .*got \(2, 3, 5\)"),
        (lambda: EMDLoss()(X, X, None, X[..., :2]), ValueError, r"`target_weights` must be .*got \(2, 3, 5, 2\)"),
        (lambda: MILoss()(X, X, X[:, :2]), ValueError, r"`weights` must be .*got \(2, 2, 5, 4\)"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make, error, message):
    with pytest.raises(error, match=message):
        make()
