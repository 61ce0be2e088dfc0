"""Payment transactions of a bank with a known fraud process, one CSV file per month.

Ground truth, all of it also in ``truth()``:

* Months before April 2026. 5 % of transactions are fraud, all of it *card testing*: stolen cards used online at night
  for large amounts at electronics, gift-card and crypto merchants, from young accounts and in quick succession. 7 % of
  the honest transactions are international.
* From April 2026 on. International transfers surge: 36 % of the honest transactions are international, most of them
  bank transfers. Fraud rises to 7 %, and 40 % of it is a new tactic, *mule accounts*: old accounts that slept for
  weeks wake up and send small amounts abroad by bank transfer in office hours. Large amounts and quick succession, by
  which card testing was known, are absent.
* From July 2026 on. A new way to pay, the channel *instant*, takes over 8 % of the honest transactions.
* 15 % of the fraud of either tactic is indistinguishable from honest business, so no model can reach a recall above
  0.85 except by raising false alarms.

Bytes are a function of the months and the seed. Text rather than Parquet, because a Parquet file also records the
version of the library that wrote it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

CHANGE = "2026-04"
NEW_CHANNEL = "2026-07"
ROWS = 5000
HOME = "DE"
DISTANCE_KM = {"AT": 600, "FR": 880, "NL": 580, "PL": 520, "GB": 930, "US": 6700, "CA": 6400, "SG": 9900, "BR": 9600}
MERCHANTS = ("groceries", "restaurants", "fuel", "electronics", "travel", "gift-cards", "crypto", "utilities", "person")
CHANNELS = ("card-present", "online", "app", "transfer")
COLUMNS = (
    "transaction_id", "customer_id", "occurred_at", "amount", "country", "international", "merchant_category",
    "channel", "hour", "account_age_days", "days_since_last", "transactions_24h", "distance_km", "prior_chargebacks",
    "is_fraud",
)  # fmt: skip


def truth() -> dict[str, object]:
    """Return the parameters of the process, before and from the change on."""
    return {
        "change": CHANGE,
        "rows_per_month": ROWS,
        "before": {"fraud_rate": 0.05, "mule_share": 0.0, "international_share": 0.07, "transfer_abroad": 0.25},
        "after": {"fraud_rate": 0.07, "mule_share": 0.4, "international_share": 0.36, "transfer_abroad": 0.75},
        "new_channel": {"from": NEW_CHANNEL, "channel": "instant", "share": 0.08},
        "hidden_share": 0.15,
        "recall_ceiling": 0.85,
        "drifted_features": ["international", "country", "distance_km", "channel"],
    }


def _choice(rng: np.random.Generator, values: tuple[str, ...], weights: tuple[float, ...], n: int) -> np.ndarray:
    return np.asarray(values, dtype=object)[rng.choice(len(values), size=n, p=np.asarray(weights) / np.sum(weights))]


def _honest(rng: np.random.Generator, n: int, regime: dict[str, float]) -> pd.DataFrame:
    """Return what an honest transaction looks like; every row starts as one."""
    abroad = rng.random(n) < regime["international_share"]
    channel = _choice(rng, CHANNELS, (0.46, 0.27, 0.17, 0.10), n)
    transfer = abroad & (rng.random(n) < regime["transfer_abroad"])
    channel[transfer] = "transfer"
    merchant = _choice(rng, MERCHANTS[:-1], (0.33, 0.2, 0.12, 0.09, 0.08, 0.02, 0.02, 0.14), n)
    merchant[channel == "transfer"] = "person"
    amount = np.exp(rng.normal(3.7, 0.95, n)) * np.where(channel == "transfer", 3.2, 1.0)
    return pd.DataFrame(
        {
            "international": abroad,
            "channel": channel,
            "merchant_category": merchant,
            "amount": amount,
            "hour": rng.normal(14.5, 4.2, n).round().astype(int) % 24,
            "days_since_last": np.minimum(rng.exponential(4.0, n).astype(int), 400),
            "transactions_24h": rng.poisson(1.4, n),
            "prior_chargebacks": rng.poisson(0.06, n),
        }
    )


def _card_testing(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "international": rng.random(n) < 0.3,
            "channel": _choice(rng, CHANNELS, (0.04, 0.76, 0.18, 0.02), n),
            "merchant_category": _choice(rng, MERCHANTS, (0.03, 0.02, 0.02, 0.4, 0.12, 0.22, 0.16, 0.02, 0.01), n),
            "amount": np.exp(rng.normal(5.8, 0.6, n)),
            "hour": rng.normal(25.5, 3.0, n).round().astype(int) % 24,
            "days_since_last": rng.exponential(1.5, n).astype(int),
            "transactions_24h": 2 + rng.poisson(3.5, n),
            "prior_chargebacks": rng.poisson(0.3, n),
        }
    )


def _mules(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "international": np.ones(n, dtype=bool),
            "channel": np.full(n, "transfer", dtype=object),
            "merchant_category": np.full(n, "person", dtype=object),
            "amount": rng.uniform(25.0, 95.0, n),
            "hour": rng.integers(9, 18, n),
            "days_since_last": 18 + rng.exponential(40.0, n).astype(int),
            "transactions_24h": rng.poisson(0.4, n),
            "prior_chargebacks": np.zeros(n, dtype=int),
        }
    )


def _customers(rng: np.random.Generator, seed: int, kind: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the customer of each row and the age of the account in days: young for card testing, old for mules."""
    opened = np.sort(np.random.default_rng([seed, 0]).uniform(-2900, 30, 4000))[::-1]
    draw = rng.random(len(kind))
    skewed = np.select([kind == 1, kind == 2], [draw**3 * 0.6, 1 - draw * 0.55], draw)
    index = np.minimum((skewed * len(opened)).astype(int), len(opened) - 1)
    return index, np.maximum(day - opened[index], 0.0).astype(int)


def month(year_month: str, seed: int = 0) -> pd.DataFrame:
    """Return the transactions of one month such as ``2026-01``, in order of time, label included."""
    facts = truth()
    regime: dict[str, float] = facts["after" if year_month >= CHANGE else "before"]  # type: ignore[assignment]
    start = pd.Timestamp(year_month + "-01")
    rng = np.random.default_rng([seed, start.year, start.month])
    fraud = rng.random(ROWS) < regime["fraud_rate"]
    mule = fraud & (rng.random(ROWS) < regime["mule_share"])
    shown = rng.random(ROWS) >= facts["hidden_share"]
    kind = np.where(shown & fraud, np.where(mule, 2, 1), 0)
    honest, testing, mules = _honest(rng, ROWS, regime), _card_testing(rng, ROWS), _mules(rng, ROWS)
    rows = pd.DataFrame(
        {
            name: np.select([kind == 1, kind == 2], [testing[name].to_numpy(), mules[name].to_numpy()], honest[name])
            for name in honest.columns
        }
    )
    if year_month >= NEW_CHANNEL:
        # Drawn from a generator of its own, so that all else in the month is what it would be without.
        moved = np.random.default_rng([seed, start.year, start.month, 1]).random(ROWS) < facts["new_channel"]["share"]
        rows.loc[moved & (kind == 0), "channel"] = "instant"
    abroad = rows["international"].to_numpy()
    country = _choice(rng, tuple(DISTANCE_KM), (14, 14, 14, 12, 14, 12, 6, 8, 6), ROWS)
    distance = np.array([DISTANCE_KM[code] for code in country]) * rng.uniform(0.9, 1.1, ROWS)
    seconds = np.sort(rng.integers(0, start.days_in_month * 86400, ROWS))
    seconds = seconds - seconds % 86400 + rows["hour"].to_numpy() * 3600 + seconds % 3600
    days = (start - pd.Timestamp("2026-01-01")).days + seconds // 86400
    index, age = _customers(rng, seed, kind, days)
    rows = rows.assign(
        customer_id=[f"c{number:05d}" for number in index],
        occurred_at=start + pd.to_timedelta(seconds, unit="s"),
        country=np.where(abroad, country, HOME),
        account_age_days=age,
        distance_km=np.where(abroad, distance, np.exp(rng.normal(2.3, 1.0, ROWS))).round(1),
        amount=rows["amount"].round(2),
        is_fraud=fraud.astype(int),
    ).sort_values("occurred_at", kind="stable", ignore_index=True)
    rows["transaction_id"] = [f"t{start:%Y%m}{seed:02d}{number:05d}" for number in range(ROWS)]
    return rows[list(COLUMNS)]


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write one month as CSV: times in UTC, booleans as true and false."""
    text = frame.assign(
        occurred_at=frame["occurred_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        international=frame["international"].map({True: "true", False: "false"}),
    )
    text.to_csv(path, index=False, lineterminator="\n")


def main() -> None:
    """Write the months from ``--from`` to ``--to``, both included."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--from", dest="first", required=True, help="first month, such as 2026-01")
    parser.add_argument("--to", dest="last", required=True, help="last month")
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for period in pd.period_range(options.first, options.last, freq="M"):
        write(month(str(period), options.seed), options.output / f"{period}.csv")


if __name__ == "__main__":
    main()
