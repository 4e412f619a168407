"""Which reliability to ask for: what the publishers offer, so that nothing is lost and nothing stays silent.

A BEST_EFFORT subscription to a RELIABLE camera loses large images; a RELIABLE one to a BEST_EFFORT camera gets nothing.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def offered_reliability(node: Node, topic: str) -> ReliabilityPolicy | None:
    """RELIABLE where every publisher of the topic is, BEST_EFFORT where one is not, None while there is none."""
    offers = [info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)]
    if not offers:
        return None
    reliable = all(offer == ReliabilityPolicy.RELIABLE for offer in offers)
    return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT


def wanted_reliability(node: Node, topic: str, setting: str) -> ReliabilityPolicy:
    """The policy for parameter qos.reliability: auto | reliable | best_effort. Without publishers, auto is
    BEST_EFFORT, which connects to anything; the node looks again when publishers come."""
    if setting == "auto":
        return offered_reliability(node, topic) or ReliabilityPolicy.BEST_EFFORT
    return ReliabilityPolicy.RELIABLE if setting == "reliable" else ReliabilityPolicy.BEST_EFFORT


def input_profile(reliability: ReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=DurabilityPolicy.VOLATILE,
    )


def output_profile(depth: int = 5) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def latched_profile() -> QoSProfile:
    """The last message waits for subscribers that come later."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )  # fmt: skip
