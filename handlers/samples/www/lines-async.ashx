<%@ WebHandler Class="samples::LinesAsync, download" %>
