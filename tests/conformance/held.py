"""Every file of every shelf, held against its Protocol by the type checker; see ``test_held.py``."""

from __future__ import annotations

import modelops.alerts.alertmanager
import modelops.alerts.file
import modelops.alerts.github_issue
import modelops.alerts.slack
import modelops.alerts.smtp
import modelops.alerts.webhook
import modelops.drift.chi_squared
import modelops.drift.cramers_v
import modelops.drift.hellinger
import modelops.drift.jensen_shannon
import modelops.drift.kolmogorov_smirnov
import modelops.drift.kullback_leibler
import modelops.drift.new_and_missing_categories
import modelops.drift.psi
import modelops.drift.total_variation
import modelops.drift.wasserstein
import modelops.exports.alertmanager
import modelops.exports.argo_cd
import modelops.exports.argo_rollouts
import modelops.exports.external_secrets
import modelops.exports.flagger
import modelops.exports.flux
import modelops.exports.gateway_api
import modelops.exports.grafana
import modelops.exports.kserve
import modelops.exports.prometheus
import modelops.forges.embedded
import modelops.forges.github
import modelops.gates.calibration
import modelops.gates.champion
import modelops.gates.data_quality
import modelops.gates.drift
import modelops.gates.evasion
import modelops.gates.fairness
import modelops.gates.latency
import modelops.gates.membership
import modelops.gates.metric
import modelops.gates.monotonicity
import modelops.gates.permutation_importance
import modelops.gates.poisoning
import modelops.gates.robustness
import modelops.gates.shap
import modelops.gates.slices
import modelops.gates.stability
import modelops.logs.docker
import modelops.logs.exported
import modelops.logs.folder
import modelops.logs.kubernetes
import modelops.runtimes.catboost
import modelops.runtimes.lightgbm
import modelops.runtimes.onnx
import modelops.runtimes.python
import modelops.runtimes.pytorch
import modelops.runtimes.scikit_learn
import modelops.runtimes.xgboost
import modelops.stores.oci_layout
import modelops.stores.oci_registry
import modelops.stores.s3
import modelops.strategies.ab_test
import modelops.strategies.bandit
import modelops.strategies.blue_green
import modelops.strategies.canary
import modelops.strategies.shadow
import modelops.targets.docker
import modelops.targets.kubernetes
import modelops.targets.local
from modelops.alerts import Alert
from modelops.drift import Drift
from modelops.exports import Export
from modelops.forges import ForgeModule
from modelops.gates import Gate
from modelops.logs import LogModule
from modelops.runtimes import Runtime
from modelops.stores import StoreModule
from modelops.strategies import Strategy
from modelops.targets import Renderer, Runner

# alerts
alerts_alertmanager: Alert = modelops.alerts.alertmanager
alerts_file: Alert = modelops.alerts.file
alerts_github_issue: Alert = modelops.alerts.github_issue
alerts_slack: Alert = modelops.alerts.slack
alerts_smtp: Alert = modelops.alerts.smtp
alerts_webhook: Alert = modelops.alerts.webhook

# drift
drift_chi_squared: Drift = modelops.drift.chi_squared
drift_cramers_v: Drift = modelops.drift.cramers_v
drift_hellinger: Drift = modelops.drift.hellinger
drift_jensen_shannon: Drift = modelops.drift.jensen_shannon
drift_kolmogorov_smirnov: Drift = modelops.drift.kolmogorov_smirnov
drift_kullback_leibler: Drift = modelops.drift.kullback_leibler
drift_new_and_missing_categories: Drift = modelops.drift.new_and_missing_categories
drift_psi: Drift = modelops.drift.psi
drift_total_variation: Drift = modelops.drift.total_variation
drift_wasserstein: Drift = modelops.drift.wasserstein

# exports
exports_alertmanager: Export = modelops.exports.alertmanager
exports_argo_cd: Export = modelops.exports.argo_cd
exports_argo_rollouts: Export = modelops.exports.argo_rollouts
exports_external_secrets: Export = modelops.exports.external_secrets
exports_flagger: Export = modelops.exports.flagger
exports_flux: Export = modelops.exports.flux
exports_gateway_api: Export = modelops.exports.gateway_api
exports_grafana: Export = modelops.exports.grafana
exports_kserve: Export = modelops.exports.kserve
exports_prometheus: Export = modelops.exports.prometheus

# forges
forges_embedded: ForgeModule = modelops.forges.embedded
forges_github: ForgeModule = modelops.forges.github

# gates
gates_calibration: Gate = modelops.gates.calibration
gates_champion: Gate = modelops.gates.champion
gates_data_quality: Gate = modelops.gates.data_quality
gates_drift: Gate = modelops.gates.drift
gates_evasion: Gate = modelops.gates.evasion
gates_fairness: Gate = modelops.gates.fairness
gates_latency: Gate = modelops.gates.latency
gates_membership: Gate = modelops.gates.membership
gates_metric: Gate = modelops.gates.metric
gates_monotonicity: Gate = modelops.gates.monotonicity
gates_permutation_importance: Gate = modelops.gates.permutation_importance
gates_poisoning: Gate = modelops.gates.poisoning
gates_robustness: Gate = modelops.gates.robustness
gates_shap: Gate = modelops.gates.shap
gates_slices: Gate = modelops.gates.slices
gates_stability: Gate = modelops.gates.stability

# logs
logs_docker: LogModule = modelops.logs.docker
logs_exported: LogModule = modelops.logs.exported
logs_folder: LogModule = modelops.logs.folder
logs_kubernetes: LogModule = modelops.logs.kubernetes

# runtimes
runtimes_catboost: Runtime = modelops.runtimes.catboost
runtimes_lightgbm: Runtime = modelops.runtimes.lightgbm
runtimes_onnx: Runtime = modelops.runtimes.onnx
runtimes_python: Runtime = modelops.runtimes.python
runtimes_pytorch: Runtime = modelops.runtimes.pytorch
runtimes_scikit_learn: Runtime = modelops.runtimes.scikit_learn
runtimes_xgboost: Runtime = modelops.runtimes.xgboost

# stores
stores_oci_layout: StoreModule = modelops.stores.oci_layout
stores_oci_registry: StoreModule = modelops.stores.oci_registry
stores_s3: StoreModule = modelops.stores.s3

# strategies
strategies_ab_test: Strategy = modelops.strategies.ab_test
strategies_bandit: Strategy = modelops.strategies.bandit
strategies_blue_green: Strategy = modelops.strategies.blue_green
strategies_canary: Strategy = modelops.strategies.canary
strategies_shadow: Strategy = modelops.strategies.shadow

# targets
targets_docker: Renderer = modelops.targets.docker
targets_docker_runs: Runner = modelops.targets.docker
targets_kubernetes: Renderer = modelops.targets.kubernetes
targets_kubernetes_runs: Runner = modelops.targets.kubernetes
targets_local: Renderer = modelops.targets.local
targets_local_runs: Runner = modelops.targets.local
