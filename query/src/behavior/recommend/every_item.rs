//! A list for each item that is used: the same rows as one question after the other.

use super::companions::most_alike;
use super::model::Target;
use super::pairs::Pairs;
use super::recommender::{Recommended, Recommender};
use trodden_engine::parallel;

/// Questions that a thread takes at once.
const QUESTIONS: usize = 64;

impl Recommender<'_> {
    /// A list for each item with an event that counts: codes in the order of items, and for each its list, with reasons or
    /// without. Threads that see `go_on` turn false stop, and then there are fewer lists.
    pub fn lists_of_items(
        &self,
        with_reasons: bool,
        threads: usize,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> (Vec<u32>, Vec<Vec<Recommended>>) {
        let pairs = Pairs::new(self.view(), self.ranks());
        let lists = match self.model().set_neighbours() {
            // Found for all items at once, which takes a part of the time.
            Some((similarity, neighbours)) => {
                // Of neighbours that cannot be left out of a list, those past its end are not looked at.
                let keep = if self.leaves_out() { neighbours } else { neighbours.min(self.top()) };
                let columns: Vec<usize> = (0..pairs.items.len()).collect();
                let rows = most_alike(&pairs, &columns, (similarity, keep), threads, go_on);
                let of_row = |(item, row): (&u32, &Vec<(u32, f64)>)| self.list_of_row(*item, row, with_reasons);
                pairs.items.iter().zip(&rows).map(of_row).collect()
            }
            None => self.one_by_one(&pairs.items, with_reasons, threads, go_on),
        };
        (pairs.items, lists)
    }

    fn one_by_one(
        &self,
        items: &[u32],
        with_reasons: bool,
        threads: usize,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Vec<Recommended>> {
        let list = |&item: &u32| match with_reasons {
            true => self.list(Target::Item(item)),
            false => self.rows(Target::Item(item)),
        };
        let parts: Vec<&[u32]> = items.chunks(QUESTIONS).collect();
        let lists = parallel::map_all(&parts, threads, |part| match go_on() {
            true => part.iter().map(list).collect::<Vec<_>>(),
            false => Vec::new(),
        });
        lists.into_iter().flatten().collect()
    }
}
