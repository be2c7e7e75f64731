//! What the server tells of itself and of its SQL. Drivers ask before they do anything: each value has the type that the
//! protocol gives it, since one of another type ends some of them.

use super::metadata::built;
use arrow_array::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use std::collections::HashMap;
use std::sync::OnceLock;
use tonic::Status;
use trodden_query::engine::ingest::{MAX_COLUMNS, MAX_NAME_BYTES};
use trodden_query::engine::types::TEXT_MAX_BYTES;

/// The version of Arrow whose format is sent.
const ARROW_VERSION: &str = "59";

/// What is asked for by number; everything where no number is given. Numbers that nobody knows are passed over.
///
/// # Errors
/// None in practice: those of putting a batch together.
pub(super) fn answer(numbers: &[u32]) -> Result<RecordBatch, Status> {
    static ALL: OnceLock<SqlInfoData> = OnceLock::new();
    let all = match ALL.get() {
        Some(all) => all,
        None => {
            let made = built(all_info().build())?;
            ALL.get_or_init(|| made)
        }
    };
    built(all.record_batch(numbers.iter().copied()))
}

fn all_info() -> SqlInfoDataBuilder {
    let mut builder = SqlInfoDataBuilder::new();
    server(&mut builder);
    names(&mut builder);
    grammar(&mut builder);
    limits(&mut builder);
    transactions(&mut builder);
    builder
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "trodden");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn names(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    let quoted = SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32;
    info.append(SqlInfo::SqlQuotedIdentifierCase, quoted);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlProcedureTerm, "");
    info.append(SqlInfo::SqlCatalogTerm, "database");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    // Neither stands in calls of procedures, definitions of indexes or privileges, which there are none of.
    info.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
}

fn grammar(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS);
    info.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS);
    info.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS);
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsConvert, conversions());
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by =
        [SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32];
    info.append(SqlInfo::SqlSupportedGroupBy, bits(&group_by));
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    let grammars = [SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32];
    info.append(SqlInfo::SqlSupportedGrammar, bits(&grammars));
    // The first bit: entry level.
    info.append(SqlInfo::SqlAnsi92SupportedLevel, 1_i32);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    let joins =
        [SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as i32, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32];
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, bits(&joins));
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
    ];
    info.append(SqlInfo::SqlSupportedSubqueries, bits(&subqueries));
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    info.append(SqlInfo::SqlSupportedUnions, bits(&unions));
    info.append(SqlInfo::SqlNamedParametersSupported, false);
    info.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    info.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// 0 stands for none, or none that is known.
fn limits(info: &mut SqlInfoDataBuilder) {
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    info.append(SqlInfo::SqlMaxBinaryLiteralLength, 0_i64);
    info.append(SqlInfo::SqlMaxCharLiteralLength, size(TEXT_MAX_BYTES));
    info.append(SqlInfo::SqlMaxColumnNameLength, size(MAX_NAME_BYTES));
    info.append(SqlInfo::SqlMaxColumnsInTable, size(MAX_COLUMNS));
    info.append(SqlInfo::SqlMaxTableNameLength, 0_i64);
    for unlimited in [
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(unlimited, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    info.append(SqlInfo::SqlDefaultTransactionIsolation, none);
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, bits(&[none]));
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    info.append(SqlInfo::SqlSupportedResultSetTypes, bits(&[forward]));
    let read_only = bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, read_only);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32);
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    info.append(SqlInfo::SqlSavepointsSupported, false);
}

/// Numbers as bits.
fn bits(numbers: &[i32]) -> i32 {
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}

/// What CAST makes of what.
fn conversions() -> HashMap<i32, Vec<i32>> {
    use SqlSupportsConvert as Convert;
    let numbers = [
        Convert::SqlConvertBigint,
        Convert::SqlConvertInteger,
        Convert::SqlConvertSmallint,
        Convert::SqlConvertDecimal,
        Convert::SqlConvertFloat,
        Convert::SqlConvertBit,
    ];
    let times = [Convert::SqlConvertDate, Convert::SqlConvertTimestamp];
    let codes = |of: &[Convert]| of.iter().map(|one| *one as i32).collect::<Vec<_>>();
    let text = Convert::SqlConvertVarchar;
    let with_text = |of: &[Convert]| codes(of).into_iter().chain([text as i32]).collect::<Vec<_>>();
    let mut all: HashMap<i32, Vec<i32>> = HashMap::new();
    all.extend(numbers.iter().map(|number| (*number as i32, with_text(&numbers))));
    all.extend(times.iter().map(|time| (*time as i32, with_text(&times))));
    all.insert(text as i32, [codes(&numbers), with_text(&times)].concat());
    all
}

/// Words that mean something here and are no reserved words of the standard.
const KEYWORDS: &[&str] = &[
    "ALIAS",
    "AMONG",
    "ANALYZE",
    "COMPARE",
    "COPY",
    "DEALLOCATE",
    "DESCRIBE",
    "EXCLUDING",
    "EXPLAIN",
    "FLUSH",
    "FUNNEL",
    "GUESSING",
    "HOLDING",
    "ILIKE",
    "LIFECYCLE",
    "LIMIT",
    "OFFSET",
    "OPTIMIZE",
    "PATHS",
    "QUALIFY",
    "RECOMMEND",
    "RECOMMENDERS",
    "REFRESH",
    "RETENTION",
    "RFM",
    "SEGMENT",
    "SESSIONS",
    "SHOW",
    "STICKINESS",
    "TAG",
    "TAGS",
    "UNALIAS",
    "UPSERT",
    "VIEW",
    "WITHIN",
];

const NUMERIC_FUNCTIONS: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cot", "degrees", "exp", "floor", "gcd", "ln", "log",
    "log10", "log2", "pi", "power", "radians", "random", "round", "signum", "sin", "sqrt", "tan", "trunc",
];

const STRING_FUNCTIONS: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "initcap",
    "left",
    "length",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "translate",
    "upper",
];

const SYSTEM_FUNCTIONS: &[&str] = &["coalesce", "greatest", "least", "nullif", "nvl", "version"];

const DATETIME_FUNCTIONS: &[&str] = &[
    "current_date",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_unixtime",
];

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt32Type;
    use trodden_query::{Database, Options};

    #[test]
    fn everything_is_told_and_a_part_of_it_too() {
        let all = answer(&[]).unwrap();
        let numbers = all.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let known = [0..=5, 8..=11, 100..=101, 500..=576].into_iter().flatten();
        assert_eq!(numbers, known.collect::<Vec<u32>>());
        assert_eq!(answer(&[0, 504, 4_711]).unwrap().num_rows(), 2);
        assert_eq!(answer(&[4_711]).unwrap().num_rows(), 0);
    }

    /// The place of a value in the union says its type; the protocol fixes it for each number.
    #[test]
    fn each_value_has_the_type_of_the_protocol() {
        let all = answer(&[]).unwrap();
        let (numbers, values) = (all.column(0).as_primitive::<UInt32Type>(), all.column(1).as_union());
        for (row, number) in numbers.values().iter().enumerate() {
            let text = [0, 1, 2, 504, 513, 514, 529, 530, 531].contains(number);
            let list = (508..=512).contains(number);
            let wide = (541..=561).contains(number) && *number != 556;
            let narrow = [8, 100, 101, 503, 505, 507, 522, 525, 526, 528, 538, 540, 562, 564].contains(number)
                || (533..=535).contains(number)
                || (567..=571).contains(number);
            let wanted = match number {
                _ if text => 0,
                _ if wide => 2,
                _ if narrow => 3,
                _ if list => 4,
                517 => 5,
                _ => 1,
            };
            assert_eq!(values.type_id(row), wanted, "{number}");
        }
    }

    #[test]
    fn the_functions_are_there() {
        let database = Database::in_memory(Options { threads: 1, ..Options::default() }).unwrap();
        let known = database.query_blocking("SELECT DISTINCT routine_name FROM information_schema.routines").unwrap();
        let known = known.to_string();
        for name in [NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS, DATETIME_FUNCTIONS].concat() {
            assert!(known.contains(&format!("| {name} ")), "{name}");
        }
    }
}
