//! The distinct (user, item) pairs that count, as a sparse matrix: what models that learn from everything are made of.

use super::item_knn::rank;
use super::view::View;

/// Pairs of a view by user and by item. Columns are items in the order of their rank, so that sums over them do not
/// depend on codes; rows are users by code.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// Code of the item of each column.
    pub items: Vec<u32>,
    /// Columns of each user, ascending, and the summed weight of the user's events with it.
    rows: Sparse,
    weights: Vec<f32>,
    /// Users (as rows) of each column, ascending, and the weights again.
    columns: Sparse,
    column_weights: Vec<f32>,
}

/// Lists of numbers, end to end.
#[derive(Debug, Clone, Default)]
struct Sparse {
    ends: Vec<usize>,
    values: Vec<u32>,
}

impl Sparse {
    fn range(&self, list: usize) -> std::ops::Range<usize> {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        start..self.ends[list]
    }
}

impl Pairs {
    /// Pairs of users and items that count in `view`. `ranks` orders items, by code.
    pub fn new(view: &View<'_>, ranks: &[u32]) -> Self {
        // One pass over all interactions, of which few may count; what follows looks at those that do.
        let mut events: Vec<(u32, f64)> = Vec::new();
        let mut ends = Vec::new();
        for user in 0..view.interactions.user_count() as u32 {
            let before = events.len();
            events.extend(view.events(user).map(|event| (event.item, view.weight(event))));
            if events.len() > before {
                ends.push(events.len());
            }
        }
        let items = used_items(&events, view.interactions.item_count(), ranks);
        let column_of = column_of(&items);
        let mut rows = Sparse::default();
        let mut weights = Vec::new();
        let mut start = 0;
        for end in ends {
            let list = &mut events[start..end];
            list.iter_mut().for_each(|pair| pair.0 = column_of[pair.0 as usize]);
            // Stable, so that weights of one pair are added in the order of time.
            list.sort_by_key(|pair| pair.0);
            for same in list.chunk_by(|a, b| a.0 == b.0) {
                rows.values.push(same[0].0);
                weights.push(same.iter().map(|pair| pair.1).sum::<f64>() as f32);
            }
            rows.ends.push(rows.values.len());
            start = end;
        }
        let (columns, column_weights) = transpose(&rows, &weights, items.len());
        Self { items, rows, weights, columns, column_weights }
    }

    /// Users with at least one pair.
    pub fn user_count(&self) -> usize {
        self.rows.ends.len()
    }

    /// Columns of a row with their weights.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.rows.range(row);
        (&self.rows.values[range.clone()], &self.weights[range])
    }

    /// Rows of a column with their weights.
    pub fn column(&self, column: usize) -> (&[u32], &[f32]) {
        let range = self.columns.range(column);
        (&self.columns.values[range.clone()], &self.column_weights[range])
    }
}

/// Items with an event, in the order of their rank.
fn used_items(events: &[(u32, f64)], count: usize, ranks: &[u32]) -> Vec<u32> {
    let mut is_used = vec![false; count];
    events.iter().for_each(|&(item, _)| is_used[item as usize] = true);
    let mut items: Vec<u32> = (0..count as u32).filter(|&item| is_used[item as usize]).collect();
    items.sort_unstable_by_key(|&item| rank(ranks, item));
    items
}

/// Columns by code of item, `u32::MAX` for items without one.
pub(super) fn column_of(items: &[u32]) -> Vec<u32> {
    let room = items.iter().max().map_or(0, |&item| item as usize + 1);
    let mut columns = vec![u32::MAX; room];
    for (column, &item) in items.iter().enumerate() {
        columns[item as usize] = column as u32;
    }
    columns
}

fn transpose(rows: &Sparse, weights: &[f32], columns: usize) -> (Sparse, Vec<f32>) {
    let mut next = vec![0_usize; columns + 1];
    for &column in &rows.values {
        next[column as usize + 1] += 1;
    }
    for column in 0..columns {
        next[column + 1] += next[column];
    }
    let mut values = vec![0_u32; rows.values.len()];
    let mut column_weights = vec![0.0_f32; rows.values.len()];
    for row in 0..rows.ends.len() {
        for at in rows.range(row) {
            let place = &mut next[rows.values[at] as usize];
            values[*place] = row as u32;
            column_weights[*place] = weights[at];
            *place += 1;
        }
    }
    // Each start has moved to the end of its column.
    next.truncate(columns);
    (Sparse { ends: next, values }, column_weights)
}
