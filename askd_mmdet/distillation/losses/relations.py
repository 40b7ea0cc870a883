"""How the embeddings of a batch lie to each other: distances of pairs, angles of triplets (Park et al., 2019)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import comparable

# Nearer, relative to the squares of both lengths, is rounding, whose gradient would be noise over zero.
_NEAR = 1e-12


def pair_distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances of all pairs, (N, C) -> (N, N); coincident points get the gradient 0.

    Example:
        >>> import torch
        >>> pair_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    embeddings, dtype = embeddings.double(), embeddings.dtype
    embeddings = embeddings - embeddings.mean(0)  # inner products cancel, and N x N x C differences would fill a GPU
    products = embeddings @ embeddings.T
    sums = products.diagonal() + products.diagonal()[:, None]
    squares = sums - 2 * products
    apart = squares > _NEAR * sums
    return (apart * torch.where(apart, squares, 1).sqrt()).to(dtype)


def relative_distances(embeddings: Tensor) -> Tensor:
    """:func:`pair_distances` over the mean of those that are not 0; all 0 where all points coincide.

    Example:
        >>> import torch
        >>> relative_distances(torch.tensor([[0.0], [1.0], [3.0]]))[0]
        tensor([0.0000, 0.5000, 1.5000])
    """
    distances = pair_distances(embeddings)
    return distances * (distances > 0).sum() / distances.sum().clamp(min=torch.finfo(distances.dtype).tiny)


def triplet_cosines(products: Tensor, corners: slice) -> Tensor:
    """Cosines of the angles at some corners j between all points i and k; 0 where i or k coincides with j.

    Args:
        products: Inner products of all points, (N, N); float64, since they cancel.
        corners: Which j.

    Returns:
        (J, N, N), from <i - j, k - j> = <i, k> - <i, j> - <k, j> + <j, j>.

    Example:
        >>> import torch
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]).double()
        >>> triplet_cosines(points @ points.T, slice(1, 2))[0, 0].float()
        tensor([1.0000, 0.0000, 0.7071])
    """
    squares = products.diagonal()
    to_corner, corner = products[corners], squares[corners, None]
    lengths = squares - 2 * to_corner + corner
    apart = lengths > _NEAR * (squares + corner)
    inverse = apart / torch.where(apart, lengths, 1).sqrt()
    cosines = products - to_corner[:, None] - to_corner[..., None] + corner[..., None]
    return cosines * inverse[:, None] * inverse[..., None]


class _AngleDistance(torch.autograd.Function):
    """Sums over some corners at a time, together with the gradient, so that no N x N x N tensor lives."""

    @staticmethod
    def forward(ctx, student, teacher, block):
        total, gradient = 0, torch.zeros_like(student)
        for start in range(0, len(student), block):
            corners = slice(start, start + block)
            with torch.enable_grad():
                leaf = student.detach().requires_grad_()
                cosines = triplet_cosines(leaf, corners), triplet_cosines(teacher, corners)
                loss = F.smooth_l1_loss(*cosines, reduction='sum') / len(student) ** 3
                gradient += torch.autograd.grad(loss, leaf)[0]
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, factor):
        return factor * ctx.saved_tensors[0], None, None


def angle_distance(student: Tensor, teacher: Tensor, block: int = 4) -> Tensor:
    """Huber distance between the cosines of all triplets, averaged over N^3; memory grows with N^2.

    Args:
        student: Embeddings (N, C), of any floating type; computed in float64.
        teacher: Same shape; gets no gradient.
        block: Corners at a time.

    Returns:
        Scalar >= 0, float64. Only its first derivative is right: the gradient is stored as a constant.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> angle_distance(3 * corner + 1, corner).item() < 1e-12
        True
    """
    student, teacher = comparable(student, teacher)

    def products(embeddings):
        embeddings = embeddings.double()
        embeddings = embeddings - embeddings.mean(0)
        return embeddings @ embeddings.T

    return _AngleDistance.apply(products(student), products(teacher.detach()), block)
