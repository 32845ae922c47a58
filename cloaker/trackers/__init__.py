"""Networks as trackers train them against cloaks: fine-tuned, robust, adaptive."""
