<%@ WebHandler Class="samples::Pg, pg" %>
