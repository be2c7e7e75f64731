//! The dialect of SQL: sqlparser's generic one, with the right operand of `IS DISTINCT FROM` where the standard ends it.
//!
//! `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c`; sqlparser 0.62 reads `a IS DISTINCT FROM (b AND c)`.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use std::any::TypeId;

/// The dialect of trodden, where `name => value` is an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqlDialect;

/// The generic dialect.
const GENERIC: GenericDialect = GenericDialect {};

/// What the generic dialect answers to each of these questions.
macro_rules! as_generic {
    ($($question:ident),* $(,)?) => {
        $(fn $question(&self) -> bool {
            GENERIC.$question()
        })*
    };
}

impl Dialect for SqlDialect {
    /// The parser treats it as the generic one where it asks for that by type.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GENERIC.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GENERIC.is_identifier_part(ch)
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        let operator = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
        let negated = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
        let is_distinct = parser.parse_keywords(&operator);
        if !is_distinct && !parser.parse_keywords(&negated) {
            return None;
        }
        let joined = |right: Expr| {
            let (left, right) = (Box::new(left.clone()), Box::new(right));
            if is_distinct { Expr::IsDistinctFrom(left, right) } else { Expr::IsNotDistinctFrom(left, right) }
        };
        Some(parser.parse_subexpr(self.prec_value(Precedence::Is)).map(joined))
    }

    as_generic!(
        supports_unicode_string_literal,
        supports_partition_by_after_order_by,
        supports_array_join_syntax,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_connect_by,
        supports_match_recognize,
        supports_pipe_operator,
        supports_start_transaction_modifier,
        supports_window_function_null_treatment_arg,
        supports_dictionary_syntax,
        supports_window_clause_named_window_reference,
        supports_parenthesized_set_variables,
        supports_select_wildcard_except,
        support_map_literal_syntax,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_extract_comma_syntax,
        supports_create_view_comment_syntax,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_limit_comma,
        supports_update_order_by,
        supports_from_first_select,
        supports_projection_trailing_commas,
        supports_asc_desc_in_column_definition,
        supports_try_convert,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_assignment_operator,
        supports_struct_literal,
        supports_empty_projections,
        supports_nested_comments,
        supports_multiline_comment_hints,
        supports_user_host_grantee,
        supports_string_escape_constant,
        supports_array_typedef_with_brackets,
        supports_match_against,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_filter_during_aggregation,
        supports_select_wildcard_exclude,
        supports_data_type_signed_suffix,
        supports_interval_options,
        supports_quote_delimited_string,
        supports_select_wildcard_replace,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_optimize_table,
        supports_install,
        supports_detach,
        supports_prewhere,
        supports_with_fill,
        supports_limit_by,
        supports_interpolate,
        supports_settings,
        supports_select_format,
        supports_comment_optimizer_hint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
        supports_comma_separated_trim,
        supports_cte_without_as,
        supports_select_item_multi_column_alias,
        supports_xml_expressions,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> String {
        // With parentheses around everything that the parser puts together.
        fn shown(expr: &Expr) -> String {
            match expr {
                Expr::IsDistinctFrom(a, b) => format!("({} isd {})", shown(a), shown(b)),
                Expr::IsNotDistinctFrom(a, b) => format!("({} isnd {})", shown(a), shown(b)),
                Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shown(left), shown(right)),
                Expr::UnaryOp { op, expr } => format!("({op} {})", shown(expr)),
                Expr::IsNull(inner) => format!("({} null)", shown(inner)),
                Expr::Nested(inner) => shown(inner),
                other => other.to_string(),
            }
        }
        let parsed = Parser::new(&SqlDialect).try_with_sql(sql).and_then(|mut parser| parser.parse_expr());
        shown(&parsed.expect(sql))
    }

    #[test]
    fn is_distinct_from_ends_where_its_precedence_says() {
        let cases = [
            ("a IS DISTINCT FROM b AND c", "((a isd b) AND c)"),
            ("x AND a is not distinct from b + 1 = 2 OR c", "((x AND (a isnd ((b + 1) = 2))) OR c)"),
            ("NOT a IS DISTINCT FROM b OR c", "((NOT (a isd b)) OR c)"),
            ("a IS DISTINCT FROM b IS NULL", "((a isd b) null)"),
            ("a = 1 IS DISTINCT FROM b", "((a = 1) isd b)"),
            ("a IS DISTINCT FROM (b AND c)", "(a isd (b AND c))"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d AND e", "(((a isd b) AND (c isd d)) AND e)"),
        ];
        for (sql, expected) in cases {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }
}
