"""The paper's equations written out plainly in float64: N x K sigmoids, image sums, all K shifts. Slow on purpose.

Edges are subtracted in extended precision, so that a test sees the error of the code under test and not its own.
"""

import numpy as np
from scipy.interpolate import BSpline
from scipy.special import expit, xlogy
from scipy.stats import norm

range_ = range  # the options below have the public names, one of which hides the builtin


def b_spline(degree, derivative=0):
    """The centred B-spline with knots at distance 1, its derivative, or (-1) its integral from the left."""
    half = (degree + 1) / 2
    spline = BSpline.basis_element(np.arange(-half, half + 0.5))
    spline = spline.antiderivative() if derivative < 0 else spline.derivative(derivative)
    return lambda z: np.where(np.abs(z) < half, spline(np.clip(z, -half, half)), 1.0 * (derivative < 0) * (z > 0))


# kernel: default bandwidth in bins, distribution function, density
KERNELS = {
    "logistic": ("0.4", expit, lambda z: expit(z) * expit(-z)),
    "gaussian": ("0.5", norm.cdf, norm.pdf),
    "linear": ("1", b_spline(0, -1), b_spline(0)),
    "cubic": ("1", b_spline(2, -1), b_spline(2)),
}


def _places(x, lo, hi, width, boundary):
    """Places that a pixel acts from (itself, its turns around the circle, its mirror images), with d place / d x."""
    if boundary == "open":
        return [(x, 1)]
    period = (hi - lo) * (2 if boundary == "reflect" else 1)
    x = x - period * np.floor((x - lo) / period)
    far = 45 * width  # the tail exp(-45) is below the rounding of extended precision
    turns = [m * period for m in range_(-int(np.ceil(far / period)) - 1, int(np.ceil(far / period)) + 2)]
    places = [(x + turn, 1) for turn in turns]
    if boundary == "reflect":
        places += [(2 * lo - x + turn, -1) for turn in turns]
    return [(place, sign) for place, sign in places if not ((place < lo - far) | (place > hi + far)).all()]


def memberships(x, bins=256, range=(0.0, 1.0), bandwidth=None, kernel="logistic", boundary="open", derivative=False):
    """Eq. 6: the share Pi_k(x_n) of pixel n in bin k, or its derivative in x_n; shape (..., N) -> (..., N, K)."""
    uneven = np.ndim(bins) > 0
    lo, hi = (np.longdouble(end) for end in ((bins[0], bins[-1]) if uneven else range))
    edges = np.asarray(bins, np.longdouble) if uneven else np.arange(bins + 1)
    bins = len(edges) - 1
    length = (hi - lo) / bins
    edges = (edges - lo) / length if uneven else edges
    default, share, density = KERNELS[kernel]
    width = length * np.longdouble(default) if bandwidth is None else np.longdouble(bandwidth)
    total = np.zeros((*np.shape(x), bins))
    for place, sign in _places(np.asarray(x, np.longdouble), lo, hi, width, boundary):
        z = (((place[..., None] - lo) / length - edges) * (length / width)).astype(np.float64)
        s = sign * density(z) / float(width) if derivative else share(z)
        total += s[..., :-1] - s[..., 1:]
    return total


def rows(a, axis):
    """The reduced axes as one last axis."""
    axes = (axis,) if np.ndim(axis) == 0 else tuple(axis)
    a = np.moveaxis(a, axes, range_(-len(axes), 0))
    return a.reshape(*a.shape[: a.ndim - len(axes)], -1)


def unrows(a, axis, shape):
    """The inverse of `rows`, back to an array of `shape`."""
    axes = (axis,) if np.ndim(axis) == 0 else tuple(axis)
    moved = np.moveaxis(np.empty(shape), axes, range_(-len(axes), 0)).shape
    return np.moveaxis(a.reshape(moved), range_(-len(axes), 0), axes)


def _weights(x, weights, axis):
    return rows(np.broadcast_to(1.0 if weights is None else weights, x.shape).astype(np.float64), axis)


def soft_histogram(x, weights=None, *, axis=-1, normalize=True, **options):
    """Eq. 5 with weights."""
    w = _weights(x, weights, axis)
    masses = np.einsum("...n,...nk->...k", w, memberships(rows(x, axis), **options))
    return masses / w.sum(-1)[..., None] if normalize else masses


def soft_histogram_vjp(g, x, weights=None, *, axis=-1, normalize=True, **options):
    """Derivatives of sum(g * soft_histogram) in x and in weights broadcast to x."""
    w = _weights(x, weights, axis)
    total = w.sum(-1, keepdims=True) if normalize else 1.0
    value = memberships(rows(x, axis), **options)
    gx = np.einsum("...k,...nk->...n", g, memberships(rows(x, axis), derivative=True, **options)) * w / total
    offset = (g * soft_histogram(x, weights, axis=axis, **options)).sum(-1, keepdims=True) if normalize else 0.0
    gw = (np.einsum("...k,...nk->...n", g, value) - offset) / total
    return unrows(gx, axis, x.shape), unrows(gw, axis, x.shape)


def pair(options):
    """Options of a joint histogram, split into those of x and those of y."""
    both = {"bins": 256, "range": (0.0, 1.0), "bandwidth": None, "kernel": "logistic", "boundary": "open"} | options
    split = [v if np.ndim(v) > (key == "range") else (v, v) for key, v in both.items()]
    return tuple({k: v[i] for k, v in zip(both, split, strict=True)} for i in (0, 1))


def joint_histogram(x, y, weights=None, *, axis=-1, normalize=True, **options):
    """Eq. 23 with weights; matrix form as in Eq. 24."""
    of_x, of_y = pair(options)
    w = _weights(x, weights, axis)
    a, b = memberships(rows(x, axis), **of_x), memberships(rows(y, axis), **of_y)
    masses = np.swapaxes(a * w[..., None], -1, -2) @ b
    return masses / w.sum(-1)[..., None, None] if normalize else masses


def joint_histogram_vjp(g, x, y, weights=None, *, axis=-1, normalize=True, **options):
    """Derivatives of sum(g * joint_histogram) in x, in y and in weights broadcast to x."""
    of_x, of_y = pair(options)
    w = _weights(x, weights, axis)
    total = w.sum(-1, keepdims=True) if normalize else 1.0
    a, b = memberships(rows(x, axis), **of_x), memberships(rows(y, axis), **of_y)
    da, db = (memberships(rows(v, axis), derivative=True, **o) for v, o in ((x, of_x), (y, of_y)))
    gx = ((da @ g) * b).sum(-1) * w / total
    gy = ((a @ g) * db).sum(-1) * w / total
    table = joint_histogram(x, y, weights, axis=axis, **options)
    offset = (g * table).sum((-2, -1))[..., None] if normalize else 0.0
    gw = (((a @ g) * b).sum(-1) - offset) / total
    return tuple(unrows(v, axis, x.shape) for v in (gx, gy, gw))


def squared_emd(p, q):
    """Eq. 13 of two vectors."""
    return float((np.cumsum(p - q) ** 2).sum())


def circular_squared_emd(p, q):
    """Eq. 14: the least of Eq. 13 over all K shifts of both histograms (Eq. 15)."""
    return min(squared_emd(np.roll(p, -shift), np.roll(q, -shift)) for shift in range_(len(p)))


def emd(p, q, order=2):
    """Eq. 12 of two vectors of equal mass."""
    return float(np.linalg.norm(np.cumsum(p / p.sum()) - np.cumsum(q / q.sum()), order) / len(p) ** (1 / order))


def circular_emd(p, q, order=2):
    """Eq. 12, least over all K shifts."""
    return min(emd(np.roll(p, -shift), np.roll(q, -shift), order) for shift in range_(len(p)))


def entropy(p):
    """Eq. 18 of an array of masses of any shape, in nats, after division by their sum."""
    p = p / p.sum()
    return float(-xlogy(p, p).sum())


def mutual_information(pxy):
    """Eq. 16 of one table."""
    return entropy(pxy.sum(1)) + entropy(pxy.sum(0)) - entropy(pxy)


def mi_distance(pxy):
    """Eq. 17 of one table."""
    return 1 - mutual_information(pxy) / entropy(pxy)


def mi_distance_gradient(pxy):
    """Derivative of Eq. 17 in every cell of a table, and 0 for cells without mass, which no pixel reaches."""
    mass = pxy.sum()
    q = pxy / mass
    full = q > 0
    marginals = q.sum(1, keepdims=True) * q.sum(0, keepdims=True)
    log_q = np.log(q, out=np.zeros_like(q), where=full)
    log_m = np.log(marginals, out=np.zeros_like(q), where=full)
    information, joint = mutual_information(pxy), entropy(pxy)
    gradient = np.where(full, -((log_q - log_m - 1) * joint + information * (log_q + 1)) / joint**2, 0.0)
    return np.where(full, gradient - (q * gradient).sum(), 0.0) / mass


def central_differences(fun, x, step=1e-5):
    """Gradient of a scalar function of one float64 array, to about step**2."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (float(fun(up)) - float(fun(down))) / (2 * step)
    return gradient
