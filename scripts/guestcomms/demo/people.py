"""Guests for the demonstration: names in many scripts, made up by combining; nobody is meant."""

# ruff: noqa: RUF001 - letters of other alphabets that look like ours are what is wanted here
from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

DOMAIN = "example.org"
"""Reserved: mail to it reaches nobody (RFC 2606)."""


@dataclass(frozen=True)
class Country:
    """Where guests come from: language, time zone and names."""

    language: str
    time_zone: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    family_name_first: bool = False
    between: str = " "


COUNTRIES = (
    Country("de", "Europe/Berlin", ("Jörg", "Änne", "Sören"), ("Müller", "Großmann", "Weiß")),
    Country("fr", "Europe/Paris", ("Zoé", "François", "Hélène"), ("Lefèvre", "D’Aubigné", "Noël")),
    Country(
        "pl", "Europe/Warsaw", ("Łucja", "Światosław", "Żaneta"), ("Wójcik", "Kądziela", "Łoś")
    ),
    Country("cs", "Europe/Prague", ("Jiří", "Zdeňka", "Řehoř"), ("Dvořák", "Černý", "Šťastná")),
    Country("tr", "Europe/Istanbul", ("İlknur", "Çağrı", "Işıl"), ("Yıldız", "Şahin", "Öztürk")),
    Country("el", "Europe/Athens", ("Σοφία", "Νίκος", "Ελένη"), ("Παπαδοπούλου", "Γεωργίου")),
    Country("uk", "Europe/Kyiv", ("Олеся", "Їжак", "Євген"), ("Шевченко", "Ґонта")),
    Country("ka", "Asia/Tbilisi", ("ნინო", "გიორგი", "თამარ"), ("ბერიძე", "კაპანაძე")),
    Country("he", "Asia/Jerusalem", ("נועה", "איתי", "שירה"), ("כהן", "פרץ")),
    Country("ar", "Asia/Beirut", ("ليلى", "يوسف", "مريم"), ("حداد", "خوري")),
    Country("hi", "Asia/Kolkata", ("आरव", "प्रिया", "कृष्णा"), ("शर्मा", "श्रीवास्तव")),
    Country("th", "Asia/Bangkok", ("สมชาย", "พิมพ์ใจ", "กัญญา"), ("ศรีสุข", "ทองดี")),
    Country("zh", "Asia/Shanghai", ("伟", "秀英", "思涵"), ("王", "欧阳"), True, ""),
    Country("ja", "Asia/Tokyo", ("花子", "太郎", "さくら"), ("渡邊", "髙橋"), True),
    Country("ko", "Asia/Seoul", ("민준", "서연", "하은"), ("김", "남궁"), True, ""),
    Country("am", "Africa/Addis_Ababa", ("ሰላም", "አበበ", "ትዕግስት"), ("ተስፋዬ", "በቀለ")),
    Country("en", "America/New_York", ("Siobhán", "O’Neal", "Mary-Jane"), ("O'Brien", "St. John")),
    Country("es", "America/Bogota", ("Íñigo", "Begoña", "Raúl"), ("Núñez", "Muñoz y Peña")),
    Country("pt-BR", "America/Sao_Paulo", ("João", "Conceição"), ("Gonçalves", "Assunção")),
    Country("mi", "Pacific/Auckland", ("Wīremu", "Māhina"), ("Ngāta", "Tāmihana")),
)


def guests(organization: str, count: int) -> list[dict[str, Any]]:
    """So many guests of an organization, the same ones each time, as upsert_guests() takes them."""
    names = [
        (country, _name(country, first, last))
        for country in COUNTRIES
        for first, last in product(country.first, country.last)
    ]
    made = []
    for number in range(count):
        # Stepping by a number prime to the length visits everybody, countries mixed.
        country, name = names[number * 37 % len(names)]
        generation = number // len(names)
        made.append(
            {
                "external_id": f"{organization}-{number:04d}",
                "name": f"{name} {'I' * (generation + 1)}" if generation else name,
                "email": f"{organization}.guest.{number:04d}@{DOMAIN}",
                "language": country.language,
                "time_zone": country.time_zone,
            }
        )
    return made


def _name(country: Country, first: str, last: str) -> str:
    parts = (last, first) if country.family_name_first else (first, last)
    return country.between.join(parts)
