//! Items whose users also use an item: neighbours by overlap of their sets of users.

use super::classes::Classes;
use super::interactions::Interactions;
use super::llr::Llr;
use super::overlaps::{Least, OverlapRow};
use super::rows::{Row, Rows};
use super::scores::{Scores, Source};
use super::view::View;
use std::sync::atomic::Ordering;
use trodden_engine::error::{Error, Result};

/// How alike two items are, from `both` users of both, `a` and `b` users of each, and all `n` users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Similarity {
    /// Log-likelihood ratio of the 2x2 table (Dunning, "Accurate Methods for the Statistics of Surprise
    /// and Coincidence", 1993); 0 where the overlap is below what chance gives.
    Llr,
    /// `both / sqrt(a b)`.
    Cosine,
    /// Product of both items' BM25 weights summed over shared users, with `k1` and `b`. A user of many items counts less.
    Bm25 {
        /// How soon more uses of an item stop to count.
        k1: f64,
        /// How much an item of many users is held back, 0 to 1.
        b: f64,
    },
    /// `both / (a + b - both)`.
    Jaccard,
    /// `both`: how many users have both.
    Overlap,
    /// A random walk from the item to one of its users to one of their items, each step to the power `alpha`, divided by the
    /// users of its end to the power `beta` (Paudel, Christoffel, Newell and Bernstein, "Updatable, Accurate, Diverse, and
    /// Scalable Recommendations for Interactive Applications", 2017).
    Rp3Beta {
        /// Power of the probabilities of steps.
        alpha: f64,
        /// How much an item of many users is held back.
        beta: f64,
    },
}

impl Similarity {
    /// Whether it is made of the numbers of users alone. Then it does not rise with the users of the other item, and where all
    /// of those are shared it does not fall with their number.
    pub(super) fn is_of_sets(self) -> bool {
        matches!(self, Self::Llr | Self::Cosine | Self::Jaccard | Self::Overlap)
    }
}

/// A similarity among so many users: of sets of users, where their numbers decide it.
#[derive(Debug, Clone)]
pub(super) struct OfSets {
    similarity: Similarity,
    llr: Option<Llr>,
}

impl OfSets {
    /// The similarity of sets of `n` users in all.
    pub(super) fn new(similarity: Similarity, n: u32) -> Self {
        Self { similarity, llr: (similarity == Similarity::Llr).then(|| Llr::of_users(n)) }
    }

    /// What has to be known of an item with so many users beside that, once for all it is compared with.
    #[inline]
    pub(super) fn margin(&self, users: f64) -> f64 {
        self.llr.as_ref().map_or(0.0, |llr| llr.margin(users))
    }

    /// The similarity of two items with `a` and `b` users, `both` of whom have both; 0 where that does not decide it.
    #[inline]
    pub(super) fn of(&self, both: f64, a: f64, b: f64) -> f64 {
        self.of_margins(both, (a, self.margin(a)), (b, self.margin(b)))
    }

    /// The same from users with their margins.
    #[inline]
    pub(super) fn of_margins(&self, both: f64, (a, a_margin): (f64, f64), (b, b_margin): (f64, f64)) -> f64 {
        match self.similarity {
            Similarity::Llr => self.llr.as_ref().map_or(0.0, |llr| llr.of(both, (a, a_margin), (b, b_margin))),
            Similarity::Cosine => both / (a * b).sqrt(),
            Similarity::Jaccard => both / (a + b - both),
            Similarity::Overlap => both,
            Similarity::Bm25 { .. } | Similarity::Rp3Beta { .. } => 0.0,
        }
    }
}

/// Options of `item_knn`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemKnnOptions {
    /// How alike two items are.
    pub similarity: Similarity,
    /// How many neighbours of an item are found: the longest list for an item.
    pub neighbours: usize,
    /// How many of them vote for a user or a basket.
    pub voters: usize,
    /// How many of the user's newest items are looked at.
    pub sources: usize,
    /// What the vote of each older item of the history is worth of that of the next newer one, above 0 and at most 1.
    pub recency: f64,
}

impl ItemKnnOptions {
    /// 200 neighbours by a similarity, of which 20 vote, and newer items of the history count more.
    pub fn of(similarity: Similarity) -> Self {
        Self { similarity, neighbours: 200, voters: 20, sources: 50, recency: 0.95 }
    }

    /// Walks with the powers that do well on a shop's purchases by customer.
    pub fn rp3beta() -> Self {
        Self::walks(0.6)
    }

    /// The same for what completes a basket, where what is popular is to be held back less.
    pub fn rp3beta_of_baskets() -> Self {
        Self::walks(0.4)
    }

    fn walks(beta: f64) -> Self {
        let walks = Similarity::Rp3Beta { alpha: 1.0, beta };
        Self { neighbours: 1_000, voters: 1_000, recency: 1.0, ..Self::of(walks) }
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.neighbours == 0 || self.voters == 0 || self.sources == 0 {
            return Err(
                Error::invalid("no neighbour or no item of the history counts").with_hint("give at least 1 of each")
            );
        }
        if !(self.recency > 0.0 && self.recency <= 1.0) {
            let message = format!("recency is {}", self.recency);
            return Err(Error::invalid(message).with_hint("give a number above 0, at most 1"));
        }
        if let Similarity::Bm25 { k1, b } = self.similarity
            && !(k1 > 0.0 && k1.is_finite() && (0.0..=1.0).contains(&b))
        {
            return Err(
                Error::invalid(format!("bm25 with k1 {k1} and b {b}")).with_hint("k1 is above 0, b from 0 to 1")
            );
        }
        if let Similarity::Rp3Beta { alpha, beta } = self.similarity
            && !((0.0..=10.0).contains(&alpha) && (0.0..=10.0).contains(&beta))
        {
            let message = format!("rp3beta with alpha {alpha} and beta {beta}");
            return Err(Error::invalid(message).with_hint("both are from 0 to 10"));
        }
        Ok(())
    }
}

/// Counts of the view that every similarity needs, and the neighbours of the items that were asked for.
#[derive(Debug)]
pub struct ItemKnn {
    options: ItemKnnOptions,
    counts: Counts,
    of_sets: OfSets,
    classes: Classes,
    /// Of the longest list of neighbours, and of those that vote.
    least: [Least; 2],
    /// What each item shares with others: as long as the item and its users did not change, it stays.
    shared: Rows,
    /// The neighbours by it.
    neighbours: Rows,
    /// The first of them, where few were asked for.
    voters: Rows,
}

/// How many users each item has, and how many items each user.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) item_users: Vec<u32>,
    /// Only for similarities that look at it.
    pub(super) user_items: Vec<u32>,
    pub(super) users: u32,
    /// Items with a user.
    items: u32,
    pairs: u64,
}

impl Counts {
    pub(super) fn new(view: &View<'_>, with_users: bool) -> Self {
        let interactions = view.interactions;
        let items = interactions.item_count();
        if view.is_whole() && !with_users {
            let item_users: Vec<u32> = (0..items as u32).map(|item| interactions.users_of_item(item)).collect();
            let counts =
                Self { item_users, user_items: Vec::new(), users: interactions.active_users(), items: 0, pairs: 0 };
            return counts.added_up();
        }
        let mut counted_for = vec![u32::MAX; items];
        let mut counts = Self { item_users: vec![0; items], user_items: Vec::new(), users: 0, items: 0, pairs: 0 };
        for user in 0..interactions.user_count() as u32 {
            let mut own = 0;
            for event in view.events(user) {
                if counted_for[event.item as usize] != user {
                    counted_for[event.item as usize] = user;
                    counts.item_users[event.item as usize] += 1;
                    own += 1;
                }
            }
            counts.users += u32::from(own > 0);
            if with_users {
                counts.user_items.push(own);
            }
        }
        counts.added_up()
    }

    fn added_up(mut self) -> Self {
        self.items = self.item_users.iter().filter(|&&users| users > 0).count() as u32;
        self.pairs = self.item_users.iter().map(|&users| u64::from(users)).sum();
        self
    }
}

/// Calls `found` for each item that shares users with `item`, except itself, with the sum of `worth` over those users,
/// added in the order of their codes.
pub(super) fn shared(view: &View<'_>, item: u32, worth: impl Fn(u32) -> f64, mut found: impl FnMut(u32, f64)) {
    let items = view.interactions.item_count();
    let mut sums = vec![0.0_f64; items];
    let mut counted_for = vec![u32::MAX; items];
    let mut touched = Vec::new();
    view.each_user_of(item, &mut Vec::new(), |user| {
        let worth = worth(user);
        for event in view.events(user) {
            let other = event.item as usize;
            if counted_for[other] != user {
                if counted_for[other] == u32::MAX {
                    touched.push(event.item);
                }
                counted_for[other] = user;
                sums[other] += worth;
            }
        }
    });
    for other in touched {
        if other != item {
            found(other, sums[other as usize]);
        }
    }
}

impl ItemKnn {
    /// The counts of a view.
    pub fn new(view: &View<'_>, options: ItemKnnOptions) -> Self {
        let with_users = matches!(options.similarity, Similarity::Bm25 { .. } | Similarity::Rp3Beta { .. });
        let counts = Counts::new(view, with_users);
        let of_sets = OfSets::new(options.similarity, counts.users);
        let classes = Classes::new(&counts.item_users, &of_sets);
        let least =
            [options.neighbours, options.voters].map(|count| view.interactions.least(options.similarity, count));
        let (shared, neighbours, voters) = Default::default();
        Self { options, counts, of_sets, classes, least, shared, neighbours, voters }
    }

    /// The same for a later state of the interactions, keeping what is still right of the items that did not change. Only for
    /// views of everything: where a window moves, what it holds changes without an event.
    #[must_use]
    pub fn refreshed(self, view: &View<'_>) -> Self {
        let mut fresh = Self::new(view, self.options);
        // The weights of BM25 look at the number of all items.
        if view.is_whole() && !matches!(self.options.similarity, Similarity::Bm25 { .. }) {
            fresh.shared = self.shared.kept(view.interactions);
        }
        fresh
    }

    /// The options.
    pub fn options(&self) -> ItemKnnOptions {
        self.options
    }

    /// Bytes of the rows that were asked for.
    pub fn heap_bytes(&self) -> usize {
        let counts = 4 * (self.counts.item_users.capacity() + self.counts.user_items.capacity());
        counts
            + self.classes.heap_bytes()
            + self.shared.heap_bytes()
            + self.neighbours.heap_bytes()
            + self.voters.heap_bytes()
    }

    /// The neighbours of an item, the most alike first, found at its first call. `ranks` orders those that are equally alike.
    pub fn neighbours(&self, view: &View<'_>, ranks: &[u32], item: u32) -> Row {
        self.neighbours
            .get(view.interactions, item, || self.find_neighbours(view, ranks, item, self.options.neighbours))
    }

    /// Finds what the neighbours of an item that vote are made of before they are asked for.
    pub fn warm(&self, view: &View<'_>, ranks: &[u32], item: u32) {
        self.nearest(view, ranks, item, self.options.voters);
    }

    /// The first `count` of them, which are found faster where they are few.
    pub(super) fn nearest(&self, view: &View<'_>, ranks: &[u32], item: u32, count: usize) -> Row {
        if count != self.options.voters || count >= self.options.neighbours {
            return self.neighbours(view, ranks, item);
        }
        self.voters.get(view.interactions, item, || self.find_neighbours(view, ranks, item, count))
    }

    fn find_neighbours(&self, view: &View<'_>, ranks: &[u32], item: u32, count: usize) -> Vec<(u32, f64)> {
        if self.options.similarity.is_of_sets() && view.is_whole() {
            return self.alike(view.interactions, ranks, item, count);
        }
        let shared = self.shared.get(view.interactions, item, || self.find_shared(view, item));
        let alike = shared.iter().map(|&(other, sum)| (other, self.similarity(item, other, sum)));
        let mut row: Vec<(u32, f64)> = alike.filter(|(_, value)| *value > 0.0).collect();
        best_first(&mut row, ranks, count);
        row
    }

    /// The neighbours by the overlaps of an item. Most items share too few users with it to be among them, which their number
    /// of users tells: what was the least similarity of a neighbour at the last question says what is too few, and all are
    /// compared if it has fallen.
    fn alike(&self, interactions: &Interactions, ranks: &[u32], item: u32, count: usize) -> Vec<(u32, f64)> {
        /// How much of the last least similarity one has to have to be compared.
        const NEARLY: f64 = 0.9;
        if interactions.users_of_item(item) == 0 {
            return Vec::new();
        }
        let least = &self.least[usize::from(count == self.options.voters)][item as usize];
        let users = self.counts.item_users[item as usize];
        let row = interactions.overlaps(item, |overlaps| {
            let mut at_least = NEARLY * f64::from_bits(least.load(Ordering::Relaxed));
            if at_least == 0.0 {
                at_least = NEARLY * self.least_of_most_shared(&overlaps, item, count);
            }
            if at_least > 0.0 {
                let fewest = self.classes.fewest_shared(users, at_least, &self.of_sets);
                let row = self.best_of(&overlaps, &fewest, ranks, item, count);
                if row.len() == count && row[count - 1].1 >= at_least {
                    return row;
                }
            }
            self.best_of(&overlaps, &[1; 256], ranks, item, count)
        });
        let last = row.last().filter(|_| row.len() == count).map_or(0.0, |last| last.1);
        least.store(last.to_bits(), Ordering::Relaxed);
        row
    }

    /// The similarity that `count` of the items that share most users have at least; 0 where these are too few.
    fn least_of_most_shared(&self, overlaps: &OverlapRow<'_>, item: u32, count: usize) -> f64 {
        let mut most: Vec<(u32, u32)> = Vec::new();
        overlaps.each(&self.classes, &[1; 256], |other, users| most.push((users, other)));
        if most.len() > 2 * count {
            most.select_nth_unstable_by(2 * count, |a, b| b.cmp(a));
            most.truncate(2 * count);
        }
        let mut values: Vec<f64> =
            most.into_iter().map(|(users, other)| self.similarity(item, other, f64::from(users))).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        count.checked_sub(1).and_then(|last| values.get(last)).copied().unwrap_or(0.0)
    }

    /// The most alike of those that share at least so many users, by class.
    fn best_of(
        &self,
        overlaps: &OverlapRow<'_>,
        fewest: &[u32; 256],
        ranks: &[u32],
        item: u32,
        count: usize,
    ) -> Vec<(u32, f64)> {
        let mut row = Vec::new();
        let own = f64::from(self.counts.item_users[item as usize]);
        let own = (own, self.of_sets.margin(own));
        overlaps.each(&self.classes, fewest, |other, users| {
            let other_users = f64::from(self.counts.item_users[other as usize]);
            let other_users = (other_users, self.of_sets.margin(other_users));
            let value = self.of_sets.of_margins(f64::from(users), own, other_users);
            if value > 0.0 {
                row.push((other, value));
            }
        });
        best_first(&mut row, ranks, count);
        row
    }

    fn find_shared(&self, view: &View<'_>, item: u32) -> Vec<(u32, f64)> {
        let mut row = Vec::new();
        let take = |other, sum| row.push((other, sum));
        let items = |user: u32| f64::from(self.counts.user_items[user as usize]);
        match self.options.similarity {
            Similarity::Bm25 { .. } => shared(view, item, |user| self.user_weight(user), take),
            Similarity::Rp3Beta { alpha, .. } => shared(view, item, |user| items(user).powf(-alpha), take),
            Similarity::Llr | Similarity::Cosine | Similarity::Jaccard | Similarity::Overlap => {
                shared(view, item, |_| 1.0, take);
            }
        }
        row
    }

    fn similarity(&self, item: u32, other: u32, sum: f64) -> f64 {
        self.similarity_of(item, f64::from(self.counts.item_users[other as usize]), sum)
    }

    /// The similarity of `item` and one of `b` users.
    fn similarity_of(&self, item: u32, b: f64, sum: f64) -> f64 {
        let a = f64::from(self.counts.item_users[item as usize]);
        match self.options.similarity {
            Similarity::Bm25 { k1, b: damping } => {
                let mean = self.counts.pairs as f64 / f64::from(self.counts.items);
                let weight = |users: f64| (k1 + 1.0) / (k1 * (1.0 - damping + damping * users / mean) + 1.0);
                weight(a) * weight(b) * sum
            }
            Similarity::Rp3Beta { alpha, beta } => a.powf(-alpha) * sum * b.powf(-beta),
            _ => self.of_sets.of(sum, a, b),
        }
    }

    /// The square of how much a user of few items says more than one of many.
    fn user_weight(&self, user: u32) -> f64 {
        let own = f64::from(self.counts.user_items[user as usize]);
        let weight = (f64::from(self.counts.items).ln() - (1.0 + own).ln()).max(0.0);
        weight * weight
    }

    /// Adds the first `voters` neighbours of each source.
    pub(super) fn score(&self, view: &View<'_>, ranks: &[u32], sources: &[Source], voters: usize, scores: &mut Scores) {
        for source in sources {
            for &(item, value) in self.nearest(view, ranks, source.item, voters).iter().take(voters) {
                scores.add(item, source.weight * value);
            }
        }
    }
}

/// Cuts a row to its highest values, sorted from high to low; equal ones by rank.
pub(super) fn best_first(row: &mut Vec<(u32, f64)>, ranks: &[u32], count: usize) {
    let order =
        |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then_with(|| rank(ranks, a.0).cmp(&rank(ranks, b.0)));
    if row.len() > count {
        row.select_nth_unstable_by(count.saturating_sub(1), order);
        row.truncate(count);
    }
    row.sort_unstable_by(order);
}

/// The place of an item in the order by value.
pub(super) fn rank(ranks: &[u32], item: u32) -> (u32, u32) {
    (ranks.get(item as usize).copied().unwrap_or(u32::MAX), item)
}
