//! A list for each item that is used: the same rows as one question after the other.

use super::chain::Chain;
use super::companions::most_alike;
use super::effort::Effort;
use super::model::Target;
use super::pairs::Pairs;
use super::recommender::Recommended;
use trodden_engine::error::Result;

/// Codes of items, and the list of each.
pub type ListsOfItems = (Vec<u32>, Vec<Vec<Recommended>>);

impl Chain<'_> {
    /// A list for each item with an event that counts, in the order of items, with reasons or without.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn lists_of_items(&self, with_reasons: bool, effort: &Effort<'_>) -> Result<ListsOfItems> {
        let pairs = Pairs::new(self.first().view(), self.first().ranks());
        let neighbours = self.single().and_then(|one| Some((one, one.model().set_neighbours()?)));
        let lists = match neighbours {
            // Found for all items at once, which takes a part of the time.
            Some((one, (similarity, neighbours))) => {
                // Of neighbours that cannot be left out of a list, those past its end are not looked at.
                let keep = if one.leaves_out() { neighbours } else { neighbours.min(one.top()) };
                let rows = most_alike(&pairs, (similarity, keep), effort)?;
                let of_row = |(item, row): (&u32, &Vec<(u32, f64)>)| one.list_of_row(*item, row, with_reasons);
                pairs.items.iter().zip(&rows).map(of_row).collect()
            }
            None => {
                let targets: Vec<Target<'_>> = pairs.items.iter().map(|&item| Target::Item(item)).collect();
                self.lists(&targets, with_reasons, effort)?
            }
        };
        Ok((pairs.items, lists))
    }
}
