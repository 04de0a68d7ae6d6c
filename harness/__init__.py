"""The instrument: dispatches a scenario, accounts for every task id and judges what happened."""
