DROP TABLE public.processing_records CASCADE;
DROP TABLE public.data_subject_requests CASCADE;
DROP TABLE public.legal_holds CASCADE;
DROP TABLE public.communication_data_retention CASCADE;
DROP TABLE public.communication_canspam_compliance CASCADE;
DROP TABLE public.communication_gdpr_consent CASCADE;
DROP TABLE public.communication_gdpr_consent_events CASCADE;
DROP TABLE public.consent_texts CASCADE;
DROP INDEX public.communication_recipients_address;
