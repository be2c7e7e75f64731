//! Every example of `docs/QUERY.md`, in order. A block ` ```sql ` must run; a block ` ```sql error: text ` must fail with
//! an error that says `text`.

use crate::support::TestDatabase;
use std::path::Path;

struct Block {
    line: usize,
    error: Option<String>,
    sql: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (line, content) in text.lines().enumerate() {
        match content.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(tag) if tag == "sql" || tag.starts_with("sql error: ") => {
                inside = true;
                let error = tag.strip_prefix("sql error: ").map(String::from);
                blocks.push(Block { line: line + 1, error, sql: String::new() });
            }
            _ if inside => {
                if let Some(block) = blocks.last_mut() {
                    block.sql.push_str(content);
                    block.sql.push('\n');
                }
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_reference_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/QUERY.md");
    let text = std::fs::read_to_string(path).expect("the reference is there");
    let blocks = blocks(&text);
    assert!(blocks.len() > 30, "only {} examples", blocks.len());
    let test = TestDatabase::in_memory();
    let csv = "customer,at,price\nann,2026-03-02T08:00:00Z,1.5\nbob,2026-03-02T09:00:00Z,2\n,2026-03-02T09:30:00Z,3\n";
    std::fs::write(test.directory.path().join("shop.csv"), csv).expect("a file to import");
    for block in blocks {
        let place = format!("docs/QUERY.md, line {}:\n{}", block.line, block.sql);
        match (test.run(&block.sql), block.error) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(&expected), "{place}\nsays {error}");
            }
            (Err(error), None) => panic!("{place}\n{error}"),
            (Ok(answer), Some(_)) => panic!("{place}\nshould fail, but says\n{answer}"),
        }
    }
    for file in ["users.csv", "events.parquet", "events.json"] {
        let written = std::fs::metadata(test.directory.path().join(file)).expect("COPY TO wrote it");
        assert!(written.len() > 0, "{file} is empty");
    }
}
