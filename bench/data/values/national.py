"""National identifiers: what each form is called where it is used, and a generator of valid numbers.

The algorithms are in national_europe.py and national_world.py. `words` are what people write before the number; `bare` says
whether the written form tells it without such a word (letters or separators in fixed places, or a checksum of two digits and
more).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.data.values import national_europe as europe
from bench.data.values import national_world as world


@dataclass(frozen=True, slots=True)
class Form:
    name: str
    words: tuple[str, ...]
    make: Callable[[Random], str]
    stdnum: str  # the module of python-stdnum that knows it, or ""
    bare: bool = False

    @property
    def kind(self) -> str:
        return f"pii.national_id.{self.name.split('.')[0]}"


FORMS = (
    Form("us.ssn", ("SSN", "social security number", "Social Security #"), world.us_ssn, "us.ssn", True),
    Form("us.itin", ("ITIN", "individual taxpayer identification number"), world.us_itin, "us.itin"),
    Form("ca.sin", ("SIN", "social insurance number"), world.ca_sin, "ca.sin"),
    Form("au.tfn", ("TFN", "tax file number"), world.au_tfn, "au.tfn"),
    Form("au.medicare", ("Medicare number", "medicare card no."), world.au_medicare, ""),
    Form("nz.ird", ("IRD number", "IRD no."), world.nz_ird, "nz.ird"),
    Form("gb.nino", ("National Insurance number", "NINO", "NI number"), world.gb_nino, "", True),
    Form("gb.nhs", ("NHS number", "NHS no"), world.gb_nhs, "gb.nhs"),
    Form("ie.pps", ("PPS number", "PPSN"), europe.ie_pps, "ie.pps"),
    Form("in.aadhaar", ("Aadhaar", "Aadhaar number", "UIDAI no"), world.in_aadhaar, "in_.aadhaar"),
    Form("in.pan", ("PAN", "PAN card", "Permanent Account Number"), world.in_pan, "in_.pan", True),
    Form("sg.nric", ("NRIC", "NRIC/FIN", "FIN number"), world.sg_nric, "", True),
    Form("za.id", ("South African ID", "ID number", "RSA ID"), world.za_id, "za.idnr"),
    Form("de.idnr", ("Steuer-ID", "Steuerliche Identifikationsnummer", "IdNr."), europe.de_idnr, "de.idnr"),
    Form("de.rvnr", ("Sozialversicherungsnummer", "Rentenversicherungsnummer", "SV-Nummer"), europe.de_rvnr, "", True),
    Form("fr.nir", ("numéro de sécurité sociale", "NIR", "n° de sécu"), europe.fr_nir, "fr.nir", True),
    Form("es.dni", ("DNI", "NIF", "documento nacional de identidad"), europe.es_dni, "es.dni", True),
    Form("es.nie", ("NIE", "número de identidad de extranjero"), europe.es_nie, "es.nie", True),
    Form("it.codice_fiscale", ("codice fiscale", "C.F.", "CF"), europe.it_codice, "it.codicefiscale", True),
    Form("pt.nif", ("NIF", "número de contribuinte", "contribuinte"), europe.pt_nif, "pt.nif"),
    Form("nl.bsn", ("BSN", "burgerservicenummer", "sofinummer"), europe.nl_bsn, "nl.bsn"),
    Form("be.nn", ("rijksregisternummer", "numéro de registre national", "NISS"), europe.be_nn, "be.nn", True),
    Form("ch.ahv", ("AHV-Nummer", "numéro AVS", "AHV-Nr."), europe.ch_ahv, "ch.ssn", True),
    Form("at.svnr", ("SV-Nummer", "Sozialversicherungsnummer", "SVNR"), europe.at_svnr, "at.vnr"),
    Form("pl.pesel", ("PESEL", "numer PESEL", "nr PESEL"), europe.pl_pesel, "pl.pesel"),
    Form("cz.rc", ("rodné číslo", "RČ", "r.č."), europe.cz_rc, "cz.rc", True),
    Form("hu.anum", ("TAJ szám", "TAJ", "társadalombiztosítási azonosító"), europe.hu_taj, ""),
    Form("ro.cnp", ("CNP", "cod numeric personal"), europe.ro_cnp, "ro.cnp"),
    Form("bg.egn", ("ЕГН", "EGN"), europe.bg_egn, "bg.egn"),
    Form("hr.oib", ("OIB", "osobni identifikacijski broj"), europe.hr_oib, "hr.oib"),
    Form("si.emso", ("EMŠO", "EMSO"), europe.si_emso, "si.emso"),
    Form("lt.asmens", ("asmens kodas", "a. k."), europe.lt_asmens, "lt.asmens"),
    Form("ee.ik", ("isikukood", "IK"), europe.lt_asmens, "ee.ik"),
    Form("fi.hetu", ("henkilötunnus", "hetu", "HETU"), europe.fi_hetu, "fi.hetu", True),
    Form("se.pnr", ("personnummer", "pers.nr"), europe.se_pnr, "se.personnummer", True),
    Form("no.fnr", ("fødselsnummer", "fnr", "personnummer"), europe.no_fnr, "no.fodselsnummer"),
    Form("dk.cpr", ("CPR-nummer", "CPR", "cpr-nr."), europe.dk_cpr, "dk.cpr", True),
    Form("is.kt", ("kennitala", "kt."), europe.is_kt, "is_.kennitala", True),
    Form("gr.amka", ("ΑΜΚΑ", "AMKA"), europe.gr_amka, "gr.amka"),
    Form("tr.tckn", ("TC Kimlik No", "T.C. kimlik numarası", "TCKN"), europe.tr_tckn, "tr.tckimlik"),
    Form("ua.rnokpp", ("РНОКПП", "ІПН", "RNOKPP"), europe.ua_rnokpp, "ua.rntrc"),
    Form("ru.inn", ("ИНН", "INN"), europe.ru_inn, "ru.inn"),
    Form("il.id", ("Teudat Zehut", "תעודת זהות", "Israeli ID"), world.il_id, "il.idnr"),
    Form("br.cpf", ("CPF", "CPF nº"), world.br_cpf, "br.cpf", True),
    Form("cl.rut", ("RUT", "RUN"), world.cl_rut, "cl.rut", True),
    Form("ar.cuit", ("CUIL", "CUIT/CUIL"), world.ar_cuit, "ar.cuit", True),
    Form("mx.curp", ("CURP", "clave CURP"), world.mx_curp, "mx.curp", True),
    Form("mx.rfc", ("RFC", "registro federal de contribuyentes"), world.mx_rfc, "mx.rfc", True),
    Form("ec.ci", ("cédula de identidad", "cédula"), world.ec_ci, "ec.ci"),
    Form("do.cedula", ("cédula", "cédula de identidad y electoral"), world.do_cedula, "do.cedula", True),
    Form("cn.ric", ("身份证号", "居民身份证", "Resident ID"), world.cn_ric, "cn.ric", True),
    Form("tw.id", ("身分證字號", "Taiwan ID", "National ID (Taiwan)"), world.tw_id, "", True),
    Form("hk.hkid", ("HKID", "香港身份證", "Hong Kong ID card"), world.hk_hkid, "", True),
    Form("jp.mynumber", ("マイナンバー", "My Number", "個人番号"), world.jp_mynumber, "jp.in_"),
    Form("kr.rrn", ("주민등록번호", "RRN", "resident registration number"), world.kr_rrn, "kr.rrn", True),
    Form("th.pid", ("เลขประจำตัวประชาชน", "Thai national ID"), world.th_pid, "th.pin", True),
    Form("my.nric", ("MyKad", "No. Kad Pengenalan", "NRIC"), world.my_nric, "my.nric", True),
    Form("pk.cnic", ("CNIC", "CNIC No."), world.pk_cnic, "pk.cnic", True),
)
BY_NAME = {form.name: form for form in FORMS}
