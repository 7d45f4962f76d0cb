"""What a notebook works with: movies, results, and stages on arrays; ``caiman_pipeline`` itself hands these out."""
