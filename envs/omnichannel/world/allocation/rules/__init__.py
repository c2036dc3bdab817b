"""The rules by which a DC that is short shares its stock, one file a rule.

A file's name is the rule's name in a scenario, and its class `Rule` derives from
`ration.RationingRule`. Nothing else has to be edited to add one.
"""
