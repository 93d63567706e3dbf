"""Nouns of the stamps' captions, by our judgement, and questions that no stamp answers.

Relevance in ``cutoff.py`` and ``feedback.py`` is "same folder or same noun". :func:`noun` takes the head of a
caption by a rule; ``NOUNS`` mends what the rule gets wrong and joins words for one thing.
"""

from __future__ import annotations

import re

#: Words before the name of the thing.
_LEAD = re.compile(
    r"^\W*(?:(?:an?|the|some|two|another|our|your|eat|say|left)\s+)*"
    r"(?:(?:pair|couple|bunch|cluster|string|head|cup|glass|tube|quarter|baby)s? of (?:an? |the )?)?"
)
#: Where the name of the thing ends.
_END = re.compile(
    r"[.,!?(:;—–…]|\b(?:of|in|with|for|from|on|to|worn|covered|playing|dancing|making|inside|at|used|is|are|lets|has|last"
    r"|stands|resembles|hatched|by|and|means|carry|carries)\b"
)

#: The last words of a name, as the rule finds them → the noun. Other words stand for themselves.
NOUNS = {
    # one thing, several words
    "airways": "airplane", "raptor": "airplane", "albino peahen": "peacock", "gander": "goose",
    "drake": "duck", "hen": "chicken", "rooster": "chicken", "chick": "chicken", "kitten": "cat", "doe": "deer",
    "caribou": "deer", "reindeer": "deer", "wapiti": "deer", "lamb": "sheep", "ram": "sheep", "bull": "cow",
    "zebu": "cow", "boars": "pig", "mountaingoat": "goat", "bunny": "rabbit", "gull": "seagull", "dromedary": "camel",
    "penguins": "penguin", "tux": "penguin", "little penguin": "penguin", "bluebird": "bird", "blackbird": "bird",
    "dolphinfish": "fish", "butterflyfish": "fish", "clownfish": "fish", "lionfish": "fish", "trout": "fish",
    "wrasse": "fish", "groper": "fish", "hornet": "wasp", "hoverfly": "fly", "dingo": "dog",
    "bike": "bicycle", "motor bike": "motorcycle", "tricycle": "bicycle", "sedan car": "car", "vw beetle": "car",
    "emblems": "car", "locomotive": "train", "boxcar": "train", "caboose": "train", "carriage": "train",
    "tender": "train", "tankers": "train", "sailboat": "boat", "ship": "boat", "tugboat": "boat", "shipwreck": "boat",
    "vessel": "submarine", "tractor wheel": "wheel", "tire": "wheel", "bicycle wheel": "wheel", "dumper": "truck",
    "forklift": "truck",
    "fedora": "hat", "sombrero": "hat", "cap": "hat", "brain": "helmet", "jeans": "pants",
    "boot": "shoe", "stocking": "sock", "sunglasses": "glasses",
    "blueberries": "blueberry", "cherries": "cherry", "core": "apple", "slice": "lemon", "avocado fruit": "avocado",
    "cherimoya fruit": "cherimoya", "cupcake": "cake", "root'": "ginger", "ripe": "tomato", "chile pepper": "pepper",
    "cep": "mushroom", "toadstool": "mushroom", "flowers": "flower", "hibiscus": "flower",
    "daffodil": "flower", "rose": "flower", "iris": "flower", "marigold": "flower", "petunia": "flower",
    "gazania": "flower", "adenium": "flower", "anthurium": "flower", "balsam": "flower", "thaadi": "flower",
    "birch": "tree", "oak": "tree", "leaves": "leaf", "shamrock": "clover", "candy": "sweet", "cane": "sweet",
    "gravestone": "grave", "headstone": "grave", "tombstone": "grave", "grave marker": "grave",
    "cemetery marker": "grave", "monument stone": "grave", "graveyard": "grave", "jack-o'-lantern": "pumpkin",
    "gimel": "dreidel", "hei": "dreidel", "nun": "dreidel", "shin": "dreidel",
    "important part": "menorah", "tealight candle": "candle", "spacewalk": "astronaut", "crescent": "moon",
    "mercury": "planet", "venus": "planet", "earth": "planet", "mars": "planet", "jupiter": "planet",
    "saturn": "planet", "uranus": "planet", "neptune": "planet", "pluto": "planet", "model": "planet",
    "padlock": "lock", "can": "bin", "compost bin": "bin", "recyclingbox": "bin", "box": "bin", "post box": "mailbox",
    "lightbulb": "bulb", "christmas light": "bulb", "bulb ornament": "bulb", "remember": "toilet",
    "toilets": "toilet", "mallet": "hammer", "biro": "pen", "erase marker": "pen", "boom": "explosion",
    "houses": "house", "cottage": "house", "inn": "house", "tavern": "house", "fort": "castle",
    "fortress": "castle", "tepee": "tent", "stoplight": "traffic light", "red light": "traffic light",
    "yellow light": "traffic light", "green light": "traffic light",
    "blue": "flag", "red": "flower", "garlic bulb": "garlic", "sea lion": "seal",
    "trophy cup": "trophy", "kit": "drum", "you": "tank", "enemy": "tank", "give way": "sign",
    "yield": "sign", "hospital": "sign", "arrow": "sign", "crossroads": "sign", "dead end ahead": "sign",
    "entry": "sign", "u-turn": "sign", "crossing": "sign", "roundabout ahead": "sign", "school ahead": "sign",
    "t-intersection": "sign", "roadsign": "sign", "officer": "policeman", "tails": "hair", "moustache": "beard",
    "down": "dock", "died": "grave", "now": "bullet", "electric bass guitar": "guitar", "inukshuk": "cairn",
    "stones": "cairn",
    # one word, several things
    "computer mouse": "computer mouse", "crash cymbal": "cymbal", "bow tie": "bow tie", "fire truck": "truck",
    "soccer ball": "ball", "cricket ball": "ball", "basketball": "ball",
    "volleyball": "ball", "american football": "ball",
    "football": "ball", "air balloon": "hot air balloon", "lunar lander module": "lander",
    "freshwater mussel": "mussel", "guinea fowl": "guinea fowl", "water": "glass", "coffee": "cup",
    "mug": "cup", "computer": "laptop",
}  # fmt: skip


def noun(caption: str) -> str:
    """Return what a stamp shows, by its caption, as one lower-case noun."""
    text = caption.lower().replace("’", "'")
    name = _END.split(_LEAD.sub("", text, count=1), maxsplit=1)[0]
    words = re.findall(r"[a-z][a-z'-]*", name) or re.findall(r"[a-z][a-z'-]*", text)
    for length in (3, 2, 1):  # "computer mouse" before "mouse"
        synonym = NOUNS.get(" ".join(words[-length:]))
        if synonym is not None:
            return synonym
    return words[-1]


#: No stamp shows these. The first, third … belong to half A, the second, fourth … to half B: 100 each.
NOTHING = tuple(
    line.strip()
    for line in """
    A bathtub.
    A swimming pool.
    A wedding.
    A sandy beach at sunset.
    A chain saw.
    A waterfall.
    A volcano.
    An X-ray of a hand.
    A pool table.
    A bunk bed.
    A skyscraper at night.
    A suspension bridge.
    A parking meter.
    A roulette wheel.
    A bowl of ramen.
    A plate of sushi.
    A wok with fried rice.
    A hamburger.
    A hot dog with mustard.
    A jar of honey.
    A can of sardines.
    A bagel.
    A pretzel.
    A plate of spaghetti.
    A burrito.
    A coral reef.
    An aircraft carrier.
    A gondola in Venice.
    A subway station.
    An escalator.
    An elevator door.
    A crowded stadium.
    A boxing ring.
    A swimmer in the water.
    A ski jump.
    A snowboard.
    A surfboard.
    A skateboard.
    A pair of roller skates.
    A bowling alley.
    A barbell.
    A treadmill.
    A yoga mat.
    A golf cart.
    A horse race.
    A chess tournament.
    A deck of cards.
    A slot machine.
    A jigsaw puzzle.
    A vending machine.
    A shopping cart.
    A cash register.
    A bank note.
    A passport.
    A newspaper front page.
    A bookshelf full of books.
    A library reading room.
    A school classroom.
    A blackboard with equations.
    A piano.
    A harp.
    An accordion.
    A pair of headphones.
    A vinyl record.
    A movie theater.
    A television set.
    A game controller.
    A circuit board.
    A solar panel.
    A nuclear power plant.
    An oil rig.
    A coal heap.
    A gas pump.
    A fire hydrant.
    A manhole cover.
    A brick wall.
    A picket fence.
    A spiral staircase.
    A stained glass window.
    A fireplace.
    A chandelier.
    A window shade.
    A rocking chair.
    A sofa.
    A dining table.
    A double bed with pillows.
    A baby crib.
    A diaper.
    A shower curtain.
    A bath towel.
    A soap dispenser.
    A toothbrush.
    A hair dryer.
    A lipstick.
    A bottle of perfume.
    A diamond ring.
    A pearl necklace.
    An hourglass.
    A sundial.
    A barometer.
    A microscope slide.
    A telescope.
    A Petri dish.
    A DNA helix.
    A brain scan.
    A hospital bed.
    A dentist's chair.
    A pair of crutches.
    A box of pills.
    A stretcher.
    A gas mask.
    A bulletproof vest.
    A handcuff.
    A courtroom.
    A parliament session.
    A protest march.
    A press conference.
    A handshake.
    A graduation ceremony.
    A family at breakfast.
    A sleeping baby.
    Twins.
    A crying child.
    A choir.
    A ballet.
    A rock concert.
    An opera house.
    A carousel.
    A roller coaster.
    A Ferris wheel.
    A sandcastle.
    A lawn mower.
    A greenhouse.
    A vineyard.
    A rice field.
    A haystack.
    A plow.
    A milking parlour.
    A cactus in the desert.
    Sand dunes.
    A glacier.
    A cliff by the sea.
    A rainbow.
    A tornado.
    The northern lights.
    A foggy forest.
    A lake with mountains behind.
    A geyser.
    A stalactite.
    A satellite image of a river.
    A street map.
    A bar chart.
    A floor plan.
    A handwritten letter.
    A receipt.
    A crossword.
    A barcode.
    A QR code.
    A screenshot of a web page.
    A comic strip.
    An oil painting of a battle.
    A mosaic floor.
    A Persian carpet.
    A patchwork quilt.
    A sewing machine.
    A ball of wool.
    A loom.
    A pair of stilts.
    A dumbwaiter.
    A mousetrap.
    A birdcage.
    An aquarium.
    A beehive.
    A doghouse.
    A dog sled team.
    A jellyfish.
    A sea anemone.
    A starfish.
    A sea urchin.
    A microbe.
    A tick.
    A tapeworm.
    A cocoon.
    A nematode.
    A trilobite fossil.
    A mammoth skeleton.
    A bonsai.
    A seaweed salad.
    A bowl of soup.
    A fried egg.
    A plate of oysters.
    A steak.
    A slice of bacon.
    A cheese fondue.
    A tram ticket.
    An ultrasound picture.
    A bullfight.
    A pinball machine.
    A lava lamp.
    A hammock.
    """.strip().splitlines()
)

#: Nor these, written as people type. They were written after all choices had been made, and used for none.
FRESH = tuple(
    line.strip()
    for line in """
    stapler
    paper clip
    envelope
    rubber stamp
    projector screen
    whiteboard
    conference room
    cubicle
    photocopier
    water cooler
    coffee machine
    toaster
    dishwasher
    frying pan
    rolling pin
    cutting board
    salt shaker
    lunch box
    ice cream cone
    popcorn
    donut
    pancakes
    omelette
    sandwich
    salad bowl
    asparagus
    artichoke
    cucumber
    cauliflower
    radish
    olives
    fig tree
    coconut
    wedding ring
    earrings
    bracelet
    necktie knot
    raincoat
    swimming goggles
    ice skates
    hockey stick
    dartboard
    billiard balls
    dominoes
    saxophone
    tambourine
    music sheet
    microphone
    loudspeaker
    record player
    remote control
    keyboard
    hard disk
    power socket
    extension cord
    traffic jam
    toll booth
    airport terminal
    runway
    cable car
    tram
    rickshaw
    unicycle
    hammock
    tree house
    campfire
    backpack
    sleeping bag
    compass
    pocket watch
    quarry
    canyon
    oasis
    swamp
    iceberg
    thunderstorm clouds
    sunset over the ocean
    moss
    ferns
    bamboo
    panda
    sloth
    armadillo
    platypus
    tortoise
    crocodile
    cobra
    salamander
    octopus
    squid
    stingray
    hammerhead shark
    hummingbird
    woodpecker
    scorpion
    centipede
    mosquito
    ant hill
    spider web
    fishing net
    """.strip().splitlines()
)
