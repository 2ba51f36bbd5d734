"""POST /v1/responses: answers that are kept, and continued by naming them."""
