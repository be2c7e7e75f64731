//! How many rows a query would find.

use crate::error::Result;
use trodden_engine::predicate::Predicate;
use trodden_engine::scan::{RowScan, ScanReport, plan_rows};
use trodden_engine::table::Snapshot;
use trodden_engine::types::TimeRange;

/// Rows of a snapshot without those of deleted users and those past the retention. Segments are asked only where
/// something is hidden.
///
/// # Errors
/// `Corrupt` for a segment that cannot be read.
pub(crate) fn visible_rows(snapshot: &Snapshot) -> Result<u64> {
    let mut segments = snapshot.shards.iter().flat_map(|shard| &shard.segments);
    let whole = segments.all(|live| {
        let meta = live.segment.meta();
        live.hidden.is_empty() && (meta.rows == 0 || meta.ts_min >= snapshot.hidden_before_us)
    });
    if whole {
        return Ok(snapshot.rows());
    }
    let scan = RowScan { columns: Vec::new(), filter: Predicate::True, time: TimeRange::ALL, limit: None };
    let plan = plan_rows(snapshot, scan)?;
    let mut report = ScanReport::default();
    let mut rows = 0;
    for morsel in plan.morsels() {
        let batches = plan.read(morsel, &mut report)?;
        rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
    }
    Ok(rows)
}
