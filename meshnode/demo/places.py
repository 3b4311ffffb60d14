"""Places of Canada for the sample: true names and codes, approximate positions and extents.

Written from general knowledge for demonstration; not a reference. Codes are those of the Standard
Geographical Classification: two digits a province or territory, four a census division, seven a
census subdivision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_KM_PER_DEGREE: Final = 111.2  # of latitude


@dataclass(frozen=True, slots=True)
class Province:
    """A province or territory; `box` is west, south, east, north in degrees."""

    code: str
    abbreviation: str
    name_en: str
    name_fr: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Division:
    """A census division, about `width_km` by `height_km` around its centre."""

    code: str
    name: str
    longitude: float
    latitude: float
    width_km: float
    height_km: float


@dataclass(frozen=True, slots=True)
class Municipality:
    """A census subdivision about `size_km` across, that publishes open data at `portal`."""

    code: str
    slug: str
    name: str
    longitude: float
    latitude: float
    size_km: float
    portal: str

    @property
    def width_km(self) -> float:
        return self.size_km

    @property
    def height_km(self) -> float:
        return self.size_km


PROVINCES: Final = (
    Province(
        "10",
        "nl",
        "Newfoundland and Labrador",
        "Terre-Neuve-et-Labrador",
        (-67.8, 46.6, -52.6, 60.4),
    ),
    Province(
        "11", "pe", "Prince Edward Island", "Île-du-Prince-Édouard", (-64.5, 45.9, -61.9, 47.1)
    ),
    Province("12", "ns", "Nova Scotia", "Nouvelle-Écosse", (-66.4, 43.4, -59.7, 47.1)),
    Province("13", "nb", "New Brunswick", "Nouveau-Brunswick", (-69.1, 44.6, -63.7, 48.1)),
    Province("24", "qc", "Quebec", "Québec", (-79.8, 45.0, -57.1, 62.6)),
    Province("35", "on", "Ontario", "Ontario", (-95.2, 41.7, -74.3, 56.9)),
    Province("46", "mb", "Manitoba", "Manitoba", (-102.1, 49.0, -88.9, 60.0)),
    Province("47", "sk", "Saskatchewan", "Saskatchewan", (-110.0, 49.0, -101.4, 60.0)),
    Province("48", "ab", "Alberta", "Alberta", (-120.0, 49.0, -110.0, 60.0)),
    Province("59", "bc", "British Columbia", "Colombie-Britannique", (-139.1, 48.2, -114.0, 60.0)),
    Province("60", "yt", "Yukon", "Yukon", (-141.0, 60.0, -123.8, 69.7)),
    Province(
        "61",
        "nt",
        "Northwest Territories",
        "Territoires du Nord-Ouest",
        (-136.5, 60.0, -102.0, 78.8),
    ),
    Province("62", "nu", "Nunavut", "Nunavut", (-120.7, 51.6, -61.1, 83.2)),
)

DIVISIONS: Final = (
    Division("1001", "Division No. 1", -53.4, 47.3, 120, 150),
    Division("1102", "Queens", -63.2, 46.3, 70, 60),
    Division("1209", "Halifax", -63.2, 44.8, 190, 90),
    Division("1307", "Westmorland", -64.7, 46.1, 90, 70),
    Division("2423", "Québec", -71.4, 46.9, 45, 40),
    Division("2466", "Montréal", -73.7, 45.5, 45, 35),
    Division("2481", "Gatineau", -75.7, 45.5, 40, 20),
    Division("3506", "Ottawa", -75.7, 45.3, 90, 60),
    Division("3520", "Toronto", -79.4, 43.7, 43, 30),
    Division("3521", "Peel", -79.8, 43.7, 45, 50),
    Division("3530", "Waterloo", -80.5, 43.5, 45, 40),
    Division("4611", "Division No. 11", -97.1, 49.9, 30, 30),
    Division("4706", "Division No. 6", -104.6, 50.5, 150, 130),
    Division("4806", "Division No. 6", -114.1, 51.1, 120, 130),
    Division("4811", "Division No. 11", -113.5, 53.4, 180, 130),
    Division("5915", "Greater Vancouver", -122.8, 49.3, 95, 65),
    Division("5917", "Capital", -123.8, 48.5, 100, 60),
    Division("6001", "Yukon", -135.0, 64.5, 500, 950),
)

_QUEBEC = "https://www.donneesquebec.ca/"

MUNICIPALITIES: Final = (
    Municipality("1001519", "st_johns", "St. John's", -52.75, 47.53, 28, "https://www.stjohns.ca/"),
    Municipality(
        "1102075",
        "charlottetown",
        "Charlottetown",
        -63.13,
        46.25,
        10,
        "https://www.charlottetown.ca/",
    ),
    Municipality("1209034", "halifax", "Halifax", -63.55, 44.68, 40, "https://www.halifax.ca/"),
    Municipality("1301006", "saint_john", "Saint John", -66.05, 45.29, 24, "https://saintjohn.ca/"),
    Municipality("1307022", "moncton", "Moncton", -64.80, 46.11, 16, "https://open.moncton.ca/"),
    Municipality(
        "1310032", "fredericton", "Fredericton", -66.65, 45.95, 18, "https://www.fredericton.ca/"
    ),
    Municipality("2423027", "quebec", "Québec", -71.30, 46.85, 32, _QUEBEC),
    Municipality("2425213", "levis", "Lévis", -71.20, 46.74, 34, _QUEBEC),
    Municipality("2437067", "trois_rivieres", "Trois-Rivières", -72.60, 46.37, 24, _QUEBEC),
    Municipality("2443027", "sherbrooke", "Sherbrooke", -71.90, 45.40, 26, _QUEBEC),
    Municipality("2458227", "longueuil", "Longueuil", -73.46, 45.52, 15, _QUEBEC),
    Municipality("2465005", "laval", "Laval", -73.72, 45.58, 26, _QUEBEC),
    Municipality(
        "2466023", "montreal", "Montréal", -73.65, 45.53, 34, "https://donnees.montreal.ca/"
    ),
    Municipality("2481017", "gatineau", "Gatineau", -75.65, 45.48, 34, _QUEBEC),
    Municipality("2494068", "saguenay", "Saguenay", -71.10, 48.42, 46, _QUEBEC),
    Municipality("3506008", "ottawa", "Ottawa", -75.72, 45.30, 80, "https://open.ottawa.ca/"),
    Municipality(
        "3510010", "kingston", "Kingston", -76.52, 44.30, 28, "https://www.cityofkingston.ca/"
    ),
    Municipality("3520005", "toronto", "Toronto", -79.38, 43.72, 42, "https://open.toronto.ca/"),
    Municipality(
        "3521005", "mississauga", "Mississauga", -79.66, 43.60, 24, "https://data.mississauga.ca/"
    ),
    Municipality(
        "3521010", "brampton", "Brampton", -79.77, 43.72, 22, "https://geohub.brampton.ca/"
    ),
    Municipality("3525005", "hamilton", "Hamilton", -79.95, 43.26, 46, "https://open.hamilton.ca/"),
    Municipality(
        "3530013", "kitchener", "Kitchener", -80.47, 43.42, 16, "https://www.kitchener.ca/"
    ),
    Municipality("3530016", "waterloo", "Waterloo", -80.54, 43.48, 10, "https://data.waterloo.ca/"),
    Municipality(
        "3537039", "windsor", "Windsor", -83.02, 42.29, 16, "https://opendata.citywindsor.ca/"
    ),
    Municipality("3539036", "london", "London", -81.25, 42.96, 26, "https://opendata.london.ca/"),
    Municipality("3543042", "barrie", "Barrie", -79.69, 44.37, 12, "https://opendata.barrie.ca/"),
    Municipality(
        "3553005",
        "greater_sudbury",
        "Greater Sudbury",
        -81.00,
        46.55,
        70,
        "https://opendata.greatersudbury.ca/",
    ),
    Municipality(
        "3558004",
        "thunder_bay",
        "Thunder Bay",
        -89.27,
        48.41,
        22,
        "https://opendata.thunderbay.ca/",
    ),
    Municipality("4607062", "brandon", "Brandon", -99.95, 49.84, 11, "https://opengov.brandon.ca/"),
    Municipality("4611040", "winnipeg", "Winnipeg", -97.14, 49.88, 28, "https://data.winnipeg.ca/"),
    Municipality("4706027", "regina", "Regina", -104.62, 50.45, 15, "https://open.regina.ca/"),
    Municipality(
        "4711066", "saskatoon", "Saskatoon", -106.66, 52.14, 18, "https://www.saskatoon.ca/"
    ),
    Municipality(
        "4801006",
        "medicine_hat",
        "Medicine Hat",
        -110.68,
        50.04,
        13,
        "https://data.medicinehat.ca/",
    ),
    Municipality(
        "4802012", "lethbridge", "Lethbridge", -112.83, 49.69, 13, "https://opendata.lethbridge.ca/"
    ),
    Municipality("4806016", "calgary", "Calgary", -114.07, 51.03, 36, "https://data.calgary.ca/"),
    Municipality("4808011", "red_deer", "Red Deer", -113.81, 52.27, 12, "https://www.reddeer.ca/"),
    Municipality(
        "4811061", "edmonton", "Edmonton", -113.49, 53.53, 36, "https://data.edmonton.ca/"
    ),
    Municipality("5915004", "surrey", "Surrey", -122.80, 49.11, 22, "https://data.surrey.ca/"),
    Municipality(
        "5915022", "vancouver", "Vancouver", -123.12, 49.25, 15, "https://opendata.vancouver.ca/"
    ),
    Municipality("5915025", "burnaby", "Burnaby", -122.97, 49.24, 11, "https://data.burnaby.ca/"),
    Municipality(
        "5915029",
        "new_westminster",
        "New Westminster",
        -122.91,
        49.21,
        6,
        "https://opendata.newwestcity.ca/",
    ),
    Municipality(
        "5917034", "victoria", "Victoria", -123.36, 48.43, 6, "https://opendata.victoria.ca/"
    ),
    Municipality("5921007", "nanaimo", "Nanaimo", -123.97, 49.17, 14, "https://data.nanaimo.ca/"),
    Municipality(
        "5933042", "kamloops", "Kamloops", -120.35, 50.69, 28, "https://mydata.kamloops.ca/"
    ),
    Municipality(
        "5935010", "kelowna", "Kelowna", -119.46, 49.88, 20, "https://opendata.kelowna.ca/"
    ),
    Municipality(
        "5953023",
        "prince_george",
        "Prince George",
        -122.76,
        53.91,
        24,
        "https://data.princegeorge.ca/",
    ),
    Municipality(
        "6001009", "whitehorse", "Whitehorse", -135.07, 60.72, 26, "https://data.whitehorse.ca/"
    ),
    Municipality(
        "6106023",
        "yellowknife",
        "Yellowknife",
        -114.40,
        62.46,
        14,
        "https://opendata.yellowknife.ca/",
    ),
    Municipality("6204003", "iqaluit", "Iqaluit", -68.51, 63.75, 9, "https://www.iqaluit.ca/"),
)


def province_of(code: str) -> Province:
    """Return the province or territory that a longer code begins with."""
    return next(province for province in PROVINCES if code.startswith(province.code))


def outline(area: Province | Division | Municipality) -> list[list[float]]:
    """Return a closed ring, counter-clockwise: a province's box, a smaller place's octagon."""
    if isinstance(area, Province):
        west, south, east, north = area.box
        return [[west, south], [east, south], [east, north], [west, north], [west, south]]
    half_height = area.height_km / 2 / _KM_PER_DEGREE
    half_width = area.width_km / 2 / (_KM_PER_DEGREE * math.cos(math.radians(area.latitude)))
    corners = [
        [
            round(area.longitude + half_width * math.cos(math.radians(angle)), 5),
            round(area.latitude + half_height * math.sin(math.radians(angle)), 5),
        ]
        for angle in range(0, 360, 45)
    ]
    return [*corners, corners[0]]
