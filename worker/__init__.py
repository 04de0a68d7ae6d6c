"""What makes the workers of a Celery app trustworthy: confirmed results, a consumer that loses nothing, a guard."""
