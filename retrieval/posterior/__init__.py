"""Kindred users by what the recommender expects of a shopper: who has those items, and covers them together."""
