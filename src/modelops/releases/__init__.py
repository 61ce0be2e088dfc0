"""Releases: the signed files of a release and of a promotion, their verification, the model card and the report."""

from modelops.releases.assemble import ModelApproval, next_number, release_files
from modelops.releases.promotions import (
    next_promotion,
    promotion_files,
    rollout_outcome_line,
    verify_promotion,
)
from modelops.releases.report import report, report_key
from modelops.releases.verify import verify_release

__all__ = [
    "ModelApproval",
    "next_number",
    "next_promotion",
    "promotion_files",
    "release_files",
    "report",
    "report_key",
    "rollout_outcome_line",
    "verify_promotion",
    "verify_release",
]
