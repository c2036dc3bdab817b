"""The account of a period: costs and metrics of the ledger."""
