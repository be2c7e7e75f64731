//! What a chain must obey, in the form in which the kernels read it.

use super::matches::DropReason;
use super::spec::{Count, Exclude, FunnelSpec, Order, Ties};

/// "No limit" as a duration.
pub(super) const UNLIMITED_US: i64 = i64::MAX;

/// The rules of a funnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) steps: usize,
    pub(super) within_us: i64,
    /// Per gap; always one less than there are steps.
    pub(super) gaps_us: Vec<i64>,
    pub(super) order: Order,
    pub(super) ties: Ties,
    pub(super) excludes: Vec<Exclude>,
}

impl Rules {
    pub(super) fn new(spec: &FunnelSpec) -> Self {
        let steps = spec.steps.len();
        Self {
            steps,
            within_us: spec.within_us.unwrap_or(UNLIMITED_US),
            gaps_us: (1..steps).map(|step| spec.gap_us(step - 1).unwrap_or(UNLIMITED_US)).collect(),
            order: spec.order,
            // A chain in any order stands in total order: free ties and ties by arrival mean the same for it.
            ties: match (spec.order, spec.count, spec.ties) {
                (Order::Any, Count::Users, Ties::Any) => Ties::Arrival,
                (_, _, ties) => ties,
            },
            excludes: spec.excludes.clone(),
        }
    }

    /// Whether neighbours have a limit of time.
    pub(super) fn limits_gaps(&self) -> bool {
        self.gaps_us.iter().any(|&gap_us| gap_us != UNLIMITED_US)
    }

    /// Whether only order and `within` count.
    pub(super) fn is_plain(&self) -> bool {
        self.order == Order::Ordered && !self.limits_gaps() && self.excludes.is_empty()
    }

    /// The same rules with one more given up for each reason; reasons that give up nothing are left out.
    pub(super) fn relaxations(&self) -> Vec<(DropReason, Self)> {
        let mut rules = self.clone();
        let mut relaxations = Vec::new();
        if rules.within_us != UNLIMITED_US || rules.limits_gaps() {
            rules.within_us = UNLIMITED_US;
            rules.gaps_us.fill(UNLIMITED_US);
            relaxations.push((DropReason::Timeout, rules.clone()));
        }
        if !rules.excludes.is_empty() {
            rules.excludes.clear();
            relaxations.push((DropReason::Excluded, rules.clone()));
        }
        if rules.order == Order::Strict {
            rules.order = Order::Ordered;
            relaxations.push((DropReason::Broken, rules));
        }
        relaxations
    }
}
