"""Parts that the views for other libraries share: arguments, accounts of a period, masks, text."""
