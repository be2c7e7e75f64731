"""ClickHouse's windowFunnel, in this process."""
import json

from chdb.session import Session

FOREVER_US = 10**16


class ClickHouse:
    def __init__(self):
        self.session = Session()

    def rows(self, sql):
        return [json.loads(line) for line in str(self.session.query(sql, "JSONCompactEachRow")).splitlines() if line]

    def levels(self, path, funnel, modes=()):
        """Level of every user that reached step 1."""
        window = FOREVER_US if funnel.within is None else funnel.within * 1_000_000
        options = "".join(f", '{mode}'" for mode in modes)
        where = f"WHERE {funnel.where}" if funnel.where else ""
        rows = self.rows(
            f"SELECT user_id, windowFunnel({window}{options})(toUInt64(toUnixTimestamp64Micro(ts)), {', '.join(funnel.steps)}) "
            f"AS level FROM file('{path}', Parquet) {where} GROUP BY user_id HAVING level > 0")
        return dict(rows)
