"""What is believed of arms whose rewards were seen beside each other: posterior means, and which arm is the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from modelops.statistics import Array


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of the reward of every arm: the means, and how many answers each belief is worth.

    With 0/1 rewards the belief is Beta(1 + m r, 1 + m (1 - r)), from a uniform prior; otherwise it is normal with the
    variance ``spreads`` / m.
    """

    means: Array
    sizes: Array
    spreads: Array
    binary: bool

    def bounds(self) -> tuple[Array, Array]:
        """Return the central 95 % of every belief.

        Returns
        -------
        (array of shape (k,), array of shape (k,))
            In the unit of the rewards.

        References
        ----------
        A. Gelman et al., "Bayesian Data Analysis", 3rd edition (2013), sections 2.3 and 2.4.

        Examples
        --------
        >>> low, high = Belief(np.array([0.2, 0.3]), np.array([100.0, 100.0]), np.zeros(2), binary=True).bounds()
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.134, 0.219], [0.289, 0.396])
        """
        low, high = (self._quantiles(np.full((1, len(self.means)), q))[0] for q in (0.025, 0.975))
        return low, high

    def _beta(self) -> tuple[Array, Array]:
        return 1 + self.sizes * self.means, 1 + self.sizes * (1 - self.means)

    def _quantiles(self, q: Array) -> Array:
        if self.binary:
            return np.asarray(scipy.special.betaincinv(*self._beta(), q))
        return np.asarray(self.means + np.sqrt(self.spreads / self.sizes) * scipy.special.ndtri(q))

    def _below(self, points: Array) -> Array:
        """Return the probability of every arm to be at most at each point, shape (points, arms)."""
        if self.binary:
            return np.asarray(scipy.special.betainc(*self._beta(), points[:, None]))
        return np.asarray(scipy.special.ndtr((points[:, None] - self.means) / np.sqrt(self.spreads / self.sizes)))

    def best(self) -> Array:
        r"""Return every arm's probability to be the best, :math:`\int \prod_{b \ne a} F_b \, dF_a`.

        The integral is a sum over the quantiles of all arms, so it draws nothing and is exact to about 1e-4.

        Returns
        -------
        array of shape (k,)
            Probabilities that sum to 1.

        References
        ----------
        S. L. Scott, "A modern Bayesian look at the multi-armed bandit", Applied Stochastic Models in Business and
        Industry 26 (2010).

        Examples
        --------
        >>> Belief(np.array([0.2, 0.3]), np.array([100.0, 100.0]), np.zeros(2), binary=True).best().round(3).tolist()
        [0.052, 0.948]
        """
        q = scipy.special.ndtr(np.linspace(-6, 6, 241))
        points = np.unique(self._quantiles(np.broadcast_to(q[:, None], (len(q), len(self.means)))))
        below = self._below(points)
        found = np.empty(len(self.means))
        for arm in range(len(found)):
            others = np.delete(below, arm, axis=1).prod(axis=1)
            found[arm] = (np.diff(below[:, arm]) * (others[1:] + others[:-1]) / 2).sum()
        return np.asarray(found / found.sum())


def belief(counts: Array, sums: Array, spreads: Array, inflation: float, *, binary: bool) -> Belief | None:
    r"""Return what is believed of every arm, from comparisons within epochs; None where they do not connect all arms.

    Least squares of :math:`\bar y_{ae} = \mu_e + \theta_a` weighted by the numbers of rewards :math:`n_{ae}`: with
    :math:`L = \mathrm{diag}(\sum_e n_{ae}) - \sum_e n_e n_e^T / n_{\cdot e}` the effects are
    :math:`\theta = L^+ \sum_e n_{ae} (\bar y_{ae} - \bar y_{\cdot e})`, with covariance :math:`\sigma^2 L^+`. Epochs of
    any size count for what they are worth, whereas inverse propensities would let single answers of an arm at its floor
    outweigh all it did before. Of the arm with most rewards all count; every other arm counts for as many as give its
    contrast with that one the right variance. In a single epoch these are the arm's own mean and number.

    Parameters
    ----------
    counts, sums : arrays of shape (epochs, arms)
        How many rewards each arm had in each epoch, and their sum.
    spreads : array of shape (arms,)
        Variance of a reward within an epoch.
    inflation : float
        By how much entities that come back make the variance of a mean larger than single answers would; at least 1.
    binary : bool
        Whether all rewards are 0 or 1.

    Returns
    -------
    Belief or None
        In the unit of the rewards; None also when nothing varies.

    References
    ----------
    R. A. Bailey, "Design of Comparative Experiments" (2008), chapter 11: block designs, their Laplacian and its
    generalised inverse.

    Examples
    --------
    >>> counts, sums = np.array([[90.0, 10.0], [50.0, 50.0]]), np.array([[18.0, 3.0], [25.0, 30.0]])
    >>> found = belief(counts, sums, np.array([0.2, 0.2]), 1.0, binary=True)
    >>> found.means.round(3).tolist(), found.sizes.round(1).tolist()
    ([0.307, 0.407], [140.0, 44.9])
    >>> belief(np.array([[9.0, 0.0], [0.0, 9.0]]), np.ones((2, 2)), np.ones(2), 1.0, binary=False) is None
    True
    """
    per_epoch = np.maximum(1.0, counts.sum(axis=1))
    sizes = counts.sum(axis=0)
    laplacian = np.diag(sizes) - (counts / per_epoch[:, None]).T @ counts
    if np.linalg.matrix_rank(laplacian, hermitian=True) < len(sizes) - 1:
        return None
    spread = (counts * spreads).sum() / sizes.sum()
    if spread <= 0 and not binary:
        return None
    inverse = np.linalg.pinv(laplacian, hermitian=True)
    expected = counts * (sums.sum(axis=1) / per_epoch)[:, None]
    effects = inverse @ (sums - expected).sum(axis=0)
    first = int(sizes.argmax())
    variances = np.diag(inverse) + inverse[first, first] - 2 * inverse[first] - 1 / sizes[first]
    variances[first] = 1 / sizes[first]
    means = sums[:, first].sum() / sizes[first] + effects - effects[first]
    worth = np.minimum(sizes, 1 / np.maximum(variances, 1e-300)) / inflation
    means = np.clip(means, 0.0, 1.0) if binary else means
    return Belief(means, worth, np.where(spreads > 0, spreads, spread), binary)
