<%@ WebHandler Class="samples::Lines, download" %>
