"""The words of the synthetic pair: themes that both domains share, styles, brands, sizes.

A theme is an interest: what one cooks, in the domain Food, and what one cooks it with, in the domain Kitchen.
"""

DOMAINS = ("Food", "Kitchen")
ROOT_CATEGORY = {"Food": "Grocery & Gourmet Food", "Kitchen": "Home & Kitchen"}

NOUNS_OF: dict[str, dict[str, str]] = {
    "Coffee": {
        "Food": "Espresso Beans, Ground Coffee, Coffee Pods, Cold Brew Concentrate, Vanilla Syrup, Oat Creamer",
        "Kitchen": "Espresso Machine, Coffee Grinder, Pod Holder, Cold Brew Pitcher, Milk Frother, Travel Mug",
    },
    "Tea": {
        "Food": "Green Tea, Earl Grey, Herbal Infusion, Matcha Powder, Chai Spice Mix, Wildflower Honey",
        "Kitchen": "Teapot, Electric Kettle, Tea Infuser, Matcha Whisk, Porcelain Cup Set, Honey Dipper",
    },
    "Bread": {
        "Food": "Bread Flour, Rye Flour, Dry Yeast, Sourdough Starter, Malt Extract, Seed Topping",
        "Kitchen": "Bread Machine, Proofing Basket, Dutch Oven, Dough Scraper, Bread Knife, Baking Stone",
    },
    "Cake": {
        "Food": "Cake Mix, Vanilla Extract, Buttercream Frosting, Sugar Sprinkles, Fondant, Cocoa Powder",
        "Kitchen": "Cake Pan, Stand Mixer, Piping Tips, Cake Stand, Fondant Roller, Icing Spatula",
    },
    "Pasta": {
        "Food": "Spaghetti, Penne, Tomato Passata, Basil Pesto, Semolina, Grated Parmesan",
        "Kitchen": "Pasta Pot, Pasta Machine, Colander, Drying Rack, Cheese Grater, Pasta Fork",
    },
    "Pizza": {
        "Food": "Pizza Dough Mix, Pizza Sauce, Mozzarella Shreds, Pepperoni Slices, Chili Oil, Dried Oregano",
        "Kitchen": "Pizza Stone, Pizza Peel, Pizza Cutter, Pizza Oven, Dough Tray, Oil Cruet",
    },
    "Sushi": {
        "Food": "Sushi Rice, Nori Sheets, Rice Vinegar, Wasabi Paste, Soy Sauce, Pickled Ginger",
        "Kitchen": "Rice Cooker, Bamboo Rolling Mat, Sashimi Knife, Sushi Plate, Chopsticks, Sauce Dish",
    },
    "Curry": {
        "Food": "Curry Paste, Coconut Milk, Basmati Rice, Garam Masala, Ghee, Mango Chutney",
        "Kitchen": "Spice Grinder, Mortar and Pestle, Tava Griddle, Masala Box, Balti Bowl, Roti Press",
    },
    "Grilling": {
        "Food": "Barbecue Sauce, Dry Rub, Steak Seasoning, Smoking Wood Chips, Burger Relish, Hot Sauce",
        "Kitchen": "Charcoal Grill, Grill Tongs, Meat Thermometer, Smoker Box, Burger Press, Grill Brush",
    },
    "Breakfast": {
        "Food": "Rolled Oats, Pancake Mix, Maple Syrup, Granola, Strawberry Jam, Peanut Butter",
        "Kitchen": "Waffle Iron, Toaster, Egg Cooker, Pancake Griddle, Cereal Dispenser, Butter Dish",
    },
    "Smoothies": {
        "Food": "Protein Powder, Frozen Berry Mix, Chia Seeds, Almond Milk, Spirulina, Flax Meal",
        "Kitchen": "Blender, Juicer, Shaker Bottle, Smoothie Tumbler, Glass Straws, Citrus Press",
    },
    "Canning": {
        "Food": "Fruit Pectin, Pickling Salt, White Vinegar, Dill Seed, Mustard Seed, Citric Acid",
        "Kitchen": "Canning Jars, Jar Lifter, Water Bath Canner, Canning Funnel, Jar Labels, Vacuum Sealer",
    },
    "Cocktails": {
        "Food": "Tonic Water, Cocktail Bitters, Grenadine, Margarita Mix, Maraschino Cherries, Lime Cordial",
        "Kitchen": "Cocktail Shaker, Jigger, Ice Sphere Mold, Martini Glasses, Muddler, Bar Spoon",
    },
    "Chocolate": {
        "Food": "Dark Chocolate Bar, Chocolate Truffles, Cacao Nibs, Couverture Callets, Hazelnut Spread, Fudge",
        "Kitchen": "Double Boiler, Chocolate Mold, Fondue Set, Candy Thermometer, Dipping Fork, Truffle Scoop",
    },
    "Popcorn": {
        "Food": "Popcorn Kernels, Popcorn Salt, Caramel Corn, Cheese Powder, Coconut Oil, Kettle Corn",
        "Kitchen": "Popcorn Maker, Popcorn Bowl, Oil Sprayer, Seasoning Shaker, Silicone Popper, Snack Tubs",
    },
    "Soup": {
        "Food": "Chicken Broth, Lentil Soup, Miso Paste, Ramen Noodles, Bouillon Cubes, Crackers",
        "Kitchen": "Stock Pot, Soup Ladle, Immersion Blender, Ramen Bowl, Pressure Cooker, Soup Thermos",
    },
    "Salad": {
        "Food": "Olive Oil, Balsamic Vinegar, Ranch Dressing, Croutons, Sunflower Seeds, Artichoke Hearts",
        "Kitchen": "Salad Spinner, Salad Bowl, Vegetable Chopper, Salad Servers, Mandoline, Dressing Shaker",
    },
    "Baby": {
        "Food": "Baby Cereal, Fruit Puree, Teething Biscuits, Infant Formula, Yogurt Melts, Veggie Pouch",
        "Kitchen": "Baby Food Maker, Puree Freezer Tray, Sippy Cup, Bottle Warmer, Silicone Bib, Bottle Rack",
    },
    "Camping": {
        "Food": "Beef Jerky, Trail Mix, Freeze Dried Stew, Energy Bar, Instant Mash, Electrolyte Mix",
        "Kitchen": "Camp Stove, Mess Kit, Water Bottle, Cooler, Folding Spork, Camp Kettle",
    },
    "Tacos": {
        "Food": "Taco Shells, Corn Tortillas, Black Beans, Salsa Verde, Taco Seasoning, Pickled Jalapenos",
        "Kitchen": "Tortilla Press, Taco Holder, Tortilla Warmer, Molcajete, Avocado Slicer, Salsa Bowl",
    },
    "Fermenting": {
        "Food": "Kombucha Scoby, Kefir Grains, Sauerkraut, Kimchi Base, Tempeh Starter, Sea Salt",
        "Kitchen": "Fermentation Crock, Airlock Lids, Glass Weights, Yogurt Maker, Kombucha Jar, Kraut Pounder",
    },
    "Seafood": {
        "Food": "Smoked Salmon, Tuna Cans, Sardines, Cocktail Sauce, Old Bay Rub, Clam Chowder",
        "Kitchen": "Fish Spatula, Oyster Knife, Crab Crackers, Steamer Basket, Fish Scaler, Lobster Pot",
    },
    "Cheese": {
        "Food": "Aged Cheddar, Brie Wheel, Fig Spread, Water Crackers, Gouda, Quince Paste",
        "Kitchen": "Cheese Board, Cheese Knives, Raclette Grill, Cheese Slicer, Cheese Dome, Cheese Paper",
    },
    "Ice Cream": {
        "Food": "Waffle Cones, Hot Fudge, Caramel Topping, Ice Cream Mix, Rainbow Sprinkles, Wafer Rolls",
        "Kitchen": "Ice Cream Maker, Ice Cream Scoop, Sundae Dishes, Popsicle Mold, Freezer Tub, Cone Stand",
    },
}

THEMES = {
    theme: {domain: nouns.split(", ") for domain, nouns in by_domain.items()} for theme, by_domain in NOUNS_OF.items()
}
"""Theme -> domain -> its nouns, neighbours in use beside each other."""

STYLES: dict[str, dict[str, list[str]]] = {
    "Organic": {
        "brands": ["Green Acre", "Meadow & Vale", "Pure Harvest", "Wild Fern", "Sunroot", "Earthly"],
        "Food": ["Organic", "Raw", "Fair Trade", "Non-GMO", "Unsweetened"],
        "Kitchen": ["Bamboo", "Recycled Glass", "Plastic Free", "Natural Wood", "Stoneware"],
    },
    "Gourmet": {
        "brands": ["Maison Clair", "Bellavita", "Harrow & Finch", "Oak Cellar", "Aurelio", "Copperleaf"],
        "Food": ["Artisan", "Small Batch", "Reserve", "Imported", "Single Origin"],
        "Kitchen": ["Copper", "Hand Forged", "Professional", "Enameled", "Walnut"],
    },
    "Family": {
        "brands": ["Sunny Table", "Big Basket", "Homefield", "Kitchen Pals", "Dailywell", "Cozy Nook"],
        "Food": ["Family Size", "Classic", "Kid Friendly", "Value Pack", "Original"],
        "Kitchen": ["Dishwasher Safe", "Nonstick", "Easy Grip", "Stackable", "Large"],
    },
    "Modern": {
        "brands": ["Nordik", "Kumo", "Brightlab", "Octave", "Zenta", "Urban Spoon"],
        "Food": ["Keto", "Gluten Free", "Instant", "Low Sugar", "Plant Based"],
        "Kitchen": ["Smart", "Compact", "Stainless Steel", "Cordless", "Matte Black"],
    },
}

SIZES = {
    "Food": ["8 oz", "12 oz", "1 lb", "2 lb", "Pack of 6"],
    "Kitchen": ["Small", "Medium", "Set of 2", "Set of 4", "2 qt"],
}

NOUNS = 6
COMBINATIONS = 6 * 5 * 5
"""Titles of one noun in one style: brands x modifiers x sizes."""
MAX_ITEMS = len(THEMES) * len(STYLES) * NOUNS * COMBINATIONS // 2
"""Half of what the words allow, so that chance never asks one noun in one style for more titles than there are."""
REVIEWS = ["Great, just as described.", "Good value.", "Would buy again.", "Works well for us.", "Not bad.", "Love it!"]
