//! One bad row must not lose the good ones: what refuses a batch is found by halving it.

use trodden_query::engine::table::Appended;
use trodden_query::{Error, ErrorKind};

/// Store `rows` in as few batches as take them, in their order. A row that no batch takes is given to `refuse`.
///
/// # Errors
/// What is not about the rows: the disk, or a limit that even one row met.
pub(super) fn split<T: Copy>(
    rows: &[T],
    mut store: impl FnMut(&[T]) -> Result<Appended, Error>,
    mut refuse: impl FnMut(T, &Error),
) -> Result<Appended, Error> {
    let mut total = Appended::default();
    let mut waiting = vec![rows];
    while let Some(part) = waiting.pop() {
        if part.is_empty() {
            continue;
        }
        match store(part) {
            Ok(appended) => {
                total.accepted += appended.accepted;
                total.duplicates += appended.duplicates;
            }
            Err(error) => match (error.kind(), part) {
                (ErrorKind::InvalidInput, [row]) => refuse(*row, &error),
                (ErrorKind::InvalidInput | ErrorKind::ResourceLimit, [_, _, ..]) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.push(second);
                    waiting.push(first);
                }
                _ => return Err(error),
            },
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bad_rows_are_found_and_the_others_stored_in_order() {
        let rows: Vec<u32> = (0..100).collect();
        let (mut stored, mut refused) = (Vec::new(), Vec::new());
        let store = |part: &[u32]| match part.iter().any(|row| row % 40 == 7) {
            true => Err(Error::invalid("bad")),
            false => {
                stored.extend_from_slice(part);
                Ok(Appended { accepted: part.len() as u64, duplicates: 0 })
            }
        };
        let total = split(&rows, store, |row, _| refused.push(row)).unwrap();
        assert_eq!((total.accepted, refused), (97, vec![7, 47, 87]));
        assert!(stored.is_sorted());
    }

    #[test]
    fn a_failure_of_the_disk_is_no_fault_of_a_row() {
        let store = |_: &[u32]| Err(Error::new(ErrorKind::StorageFull, "full"));
        let error = split(&[1, 2], store, |_, _| panic!("refused")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let store = |_: &[u32]| Err(Error::new(ErrorKind::ResourceLimit, "no room"));
        assert_eq!(split(&[1, 2], store, |_, _| panic!("refused")).unwrap_err().kind(), ErrorKind::ResourceLimit);
    }
}
