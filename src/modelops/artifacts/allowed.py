"""What an artifact may hold beyond the types that skops trusts by itself: plain data and functions of scikit-learn.

Splitters, scorers, kernels and losses are listed as scikit-learn has them, not as somebody needed them; a test walks
through its modules. Nothing here reads files, talks to anybody or runs text.
"""

from __future__ import annotations

__all__ = ["ALLOWED_TYPES", "CHECKED_TYPES", "EXPERIMENTAL_TYPES", "HINTS"]

CHECKED_TYPES = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.tree._tree.Tree",
    }
)
"""Types whose node indices scikit-learn does not check; ``check_trees`` does before they are used."""

EXPERIMENTAL_TYPES = frozenset(
    {
        "sklearn.impute._iterative.IterativeImputer",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    }
)
"""Estimators of scikit-learn that skops trusts only where they were enabled before it was imported; here always."""

_BY_MODULE = {
    "builtins": "object",
    # The function inside a partial is on this list too, or refused: histogram boosting of categories has one.
    "functools": "partial",
    "numpy": "dtype floating inexact integer max mean median min nanmax nanmean nanmedian nanmin number "
    "signedinteger unsignedinteger",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    # The indices of sparse matrices are checked with those of trees.
    "scipy.sparse._csc": "csc_array csc_matrix",
    "scipy.sparse._csr": "csr_array csr_matrix",
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.interpolate._interpolate": "interp1d",
    "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    "sklearn._loss.loss": "AbsoluteError ExponentialLoss HalfBinomialLoss HalfBinomialLossArrayAPI HalfGammaLoss "
    "HalfMultinomialLoss HalfMultinomialLossArrayAPI HalfPoissonLoss HalfPoissonLossArrayAPI HalfSquaredError "
    "HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss",
    "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    "sklearn.compose._column_transformer": "_RemainderColsList make_column_selector",
    "sklearn.feature_selection._base": "_get_feature_importances",
    "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_oneway f_regression r_regression",
    "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels": "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation "
    "Matern PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel",
    "sklearn.impute._iterative": "_ImputerTriplet",
    "sklearn.metrics._classification": "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score "
    "d2_brier_score d2_log_loss_score f1_score fbeta_score hamming_loss hinge_loss jaccard_score log_loss "
    "matthews_corrcoef precision_score recall_score zero_one_loss",
    "sklearn.metrics._dist_metrics": "ChebyshevDistance64 EuclideanDistance64 ManhattanDistance64",
    "sklearn.metrics._ranking": "auc average_precision_score coverage_error dcg_score "
    "label_ranking_average_precision_score label_ranking_loss ndcg_score roc_auc_score top_k_accuracy_score",
    "sklearn.metrics._regression": "d2_absolute_error_score d2_pinball_score d2_tweedie_score "
    "explained_variance_score max_error mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance "
    "mean_pinball_loss mean_poisson_deviance mean_squared_error mean_squared_log_error mean_tweedie_deviance "
    "median_absolute_error r2_score root_mean_squared_error root_mean_squared_log_error",
    "sklearn.metrics._scorer": "_CurveScorer _MultimetricScorer _PassthroughScorer _Scorer "
    "negative_likelihood_ratio positive_likelihood_ratio",
    "sklearn.metrics.cluster._supervised": "adjusted_mutual_info_score adjusted_rand_score completeness_score "
    "fowlkes_mallows_score homogeneity_score mutual_info_score normalized_mutual_info_score rand_score "
    "v_measure_score",
    "sklearn.metrics.pairwise": "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity "
    "euclidean_distances haversine_distances laplacian_kernel linear_kernel manhattan_distances "
    "nan_euclidean_distances polynomial_kernel rbf_kernel sigmoid_kernel",
    "sklearn.model_selection._search_successive_halving": "_SubsampleMetaSplitter",
    "sklearn.model_selection._split": "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut "
    "LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold "
    "StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit _CVIterableWrapper",
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "sklearn.utils._bunch": "Bunch",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    "sklearn.utils.validation": "check_array",
}

ALLOWED_TYPES = CHECKED_TYPES | {f"{module}.{name}" for module, names in _BY_MODULE.items() for name in names.split()}

_FUNCTIONS = (
    "use what scikit-learn and numpy have, such as FunctionTransformer(numpy.log1p) and lists of columns, or make the "
    "column when the data is made; code that has to run is declared: `runtime: {type: python}` under spec.training"
)
_BRUTE = "use metric='minkowski' with p=1 or p=2, or algorithm='brute'"

_OTHER = "this part of scikit-learn cannot be kept as data; choose another estimator"

HINTS = (
    ("sklearn.metrics._dist_metrics.", _BRUTE),
    ("scipy.sparse.", "give the estimator dense columns: sparse_output=False, sparse_threshold=0"),
    ("sklearn.", _OTHER),
    ("modelops_training_code.", "what train.py defines itself is code and cannot be kept as data: " + _FUNCTIONS),
)
"""What to do about a type, by how its name begins."""
